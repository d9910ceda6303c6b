/**
 * Objects of an encrypted file system as another program has written them, by docs/FORMAT.md alone
 * (Python's hashlib and the cryptography package): whoever changes what they look like changes the format.
 */
import { fromHex } from "../../../src/runtime/random.ts";

export const material = {
  fileSystem: fromHex("00112233445566778899aabbccddeeff"),
  /** 0, 1, 2, … */
  master: Uint8Array.from({ length: 32 }, (_, i) => i),
};
export const pack = fromHex("ab" + "01".repeat(15));
/** Content of the two chunks of `packObject`, and their ids. */
export const chunks = [new TextEncoder().encode("hello, world"), Uint8Array.of(1, 2, 3)];
export const chunkIds = [
  "d625ff33db3af22cf01789a3fd098c56d619a976d05d5449f98711a975829843",
  "6026f9b16d873eb3ecf2c1f76cb669a9c6464611265152ac2c4bb2106867b406",
];
export const packObject = fromHex(
  "5a45524f5041434b010000000100000000112233445566778899aabbccddeeffab0101010101010101010101" +
    "01010101b0c96ed2b010387083981cbcfe649781e6007423486a62d0efc25923bb5dcd612ab5cd46e712da88" +
    "c312c49d852e1f4c206c1ccad9d1f6acdafc14d2ed6f4ef73428b18b80e82d4f400e3e91c7a1b4b7782bb13e" +
    "c8c92516836479630b3f44e22e207ee714684a116db5858310e6bdb60ec9605f8c1626e7a2c88c3ec223328a" +
    "c88fbc4301d07d5862b4f7fc17560f8c2afa16b3194c3088c6e67c2692c02fcb389e340dee77ad4fc12931cc" +
    "23c922831f659fa25417eb9e74c92b86999e096dcaf2c085e3265fbb46fbf3a6b13823000000000000000000" +
    "0000000000000001000000010000005a45524f5041434b",
);
/** Kind 1, complete, epoch 3, first 10, last 12, 3 records, and a payload of two bytes, 5 and 6. */
export const metadataObject = fromHex(
  "5a45524f4d455441010001010100000000112233445566778899aabbccddeeff03000000000000000a000000" +
    "000000000c0000000000000000a8da769b010000000000000000000000000000000000000000000000000000" +
    "000000000000000000000000000000002a000000000100006465666768696a6b6c6d6e6fb7bb83222a7cf91a" +
    "41d2c0e3c820c6c0c581fbf413e04f989b21d1ff68632eba3a5ba534ddb7743fedfb69faa1d930fe430eda5d" +
    "dd3559c8808b64f3b48a01000000010000005a45524f4d455441",
);
export const metadataNonce = Uint8Array.from({ length: 12 }, (_, i) => 100 + i);
export const passphrase = new TextEncoder().encode("pass phräse");
/** N = 2^14, r = 8, p = 1; salt 200, 201, …; nonce 50, 51, … */
export const wrappedKey = fromHex(
  "5a45524f4b455953010000000100000000112233445566778899aabbccddeeff010e00000800000001000000" +
    "00000000c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e73233343536373839" +
    "3a3b3c3df2eab2644214a5265f00914d98def54aa5e15b6bcb039e64e4e53592ac485182e4ebafc926dbfa5a" +
    "26fb550315d4f44c7292a624aa67d6eaf3d18bcdc45c0ac764f2d31389b3b631e107e6e4ece24b4e01000000" +
    "010000005a45524f4b455953",
);
export const recoveryKey =
  "ZERO1-000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFG-0492-6F90-SYQC";
/** Of the descriptor in docs/FORMAT.md, with the feature "encryption". */
export const descriptorSeal = "e38cd6ce847d2256f628ec01eebbf87f8ed8cfaab5888da6357e41cb2202c813";
