/**
 * The filesystem isolate's end of its disk helpers: one for syncs, which programs wait for, and one
 * for slow work (unlinks, checkpoints), so that neither delays the other. Holds content descriptors
 * open while they are synced.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import type { ContentFile, ContentStore } from "../content/content_store.ts";
import type { DiskHelper, SyncJob } from "./disk_helper.ts";
import type { DiskReply, DiskRequest } from "./disk_messages.ts";

type Fields<T> = T extends { id: number } ? Omit<T, "id"> : never;

export class DiskClient implements DiskHelper {
  readonly #store: ContentStore;
  readonly #walPath: string;
  readonly #ports: { sync: MessagePort; slow: MessagePort };
  readonly #waiting = new Map<number, (reply: DiskReply) => void>();
  readonly #onDefect: (message: string) => void;
  #next = 1;
  /** Syncs that are not answered. */
  #syncs = 0;

  constructor(options: {
    store: ContentStore;
    walPath: string;
    ports: { sync: MessagePort; slow: MessagePort };
    onDefect: (message: string) => void;
  }) {
    this.#store = options.store;
    this.#walPath = options.walPath;
    this.#ports = options.ports;
    this.#onDefect = options.onDefect;
  }

  /** True while an answer is owed. */
  get busy(): boolean {
    return this.#waiting.size > 0;
  }

  #ask(
    port: MessagePort,
    fields: Fields<DiskRequest>,
    done: (errno: number) => void,
    held: ContentFile[] = [],
  ): void {
    const id = this.#next++;
    for (const file of held) this.#store.hold(file);
    this.#waiting.set(id, ({ errno, message }) => {
      for (const file of held) this.#store.release(file);
      if (message !== undefined) this.#onDefect(message);
      done(errno);
    });
    port.postMessage({ id, ...fields } satisfies DiskRequest);
  }

  sync(job: SyncJob, done: (errno: number) => void): void {
    const alone = this.#syncs++ === 0;
    this.#ask(
      this.#ports.sync,
      {
        kind: "sync",
        files: job.files.map((file) => file.fd),
        folders: job.folders,
        wal: job.wal ? this.#walPath : undefined,
        alone,
      },
      (errno) => {
        this.#syncs--;
        done(errno);
      },
      job.files,
    );
  }

  unlink(paths: string[], done: (errno: number) => void): void {
    this.#ask(this.#ports.slow, { kind: "unlink", paths }, done);
  }

  syncAll(done: (errno: number) => void): void {
    this.#ask(this.#ports.slow, { kind: "syncAll" }, done);
  }

  checkpoint(done: (errno: number) => void): void {
    this.#ask(this.#ports.slow, { kind: "checkpoint" }, done);
  }

  /** Takes in what the helpers have answered. */
  drain(): void {
    for (const port of [this.#ports.sync, this.#ports.slow]) {
      for (;;) {
        const received = receiveMessageOnPort(port as never) as
          | { message: DiskReply }
          | undefined;
        if (received === undefined) break;
        const waiting = this.#waiting.get(received.message.id);
        this.#waiting.delete(received.message.id);
        waiting?.(received.message);
      }
    }
  }
}
