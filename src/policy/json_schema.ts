/**
 * The JSON Schema of the language, for editors and for suggestions. Made from the same types that
 * read a policy; `policies/policy.schema.json` is its text, and a test keeps that file true.
 */
import { z } from "zod";
import { policySchema } from "./language.ts";

interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  items?: SchemaNode;
  anyOf?: SchemaNode[];
}

let made: SchemaNode | undefined;

/** The schema as plain data. Do not change it. */
export function policyJsonSchema(): SchemaNode {
  made ??= {
    title: "A policy of Zero: what stays on the local disk, what goes, when, and how much",
    ...z.toJSONSchema(policySchema, { io: "input", target: "draft-7" }),
  } as SchemaNode;
  return made;
}

/** The text of `policies/policy.schema.json`. */
export function policyJsonSchemaText(): string {
  return JSON.stringify(policyJsonSchema(), null, 2) + "\n";
}

/** The keys that a group at `path` of a policy may have. */
export function knownKeys(path: readonly PropertyKey[]): string[] {
  let nodes: SchemaNode[] = [policyJsonSchema()];
  const alternatives = (node: SchemaNode): SchemaNode[] => [
    node,
    ...(node.anyOf ?? []).flatMap(alternatives),
  ];
  for (const key of path) {
    nodes = nodes.flatMap(alternatives).flatMap((node) => {
      const next = typeof key === "number" ? node.items : node.properties?.[String(key)];
      return next === undefined ? [] : [next];
    });
  }
  return nodes.flatMap(alternatives).flatMap((node) => Object.keys(node.properties ?? {}));
}
