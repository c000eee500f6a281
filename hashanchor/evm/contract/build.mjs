// Builds HashAnchor.sol with the pinned compiler and compares the outcome with
// HashAnchor.json; with --write it writes the file instead.
//
//   npm ci && npm run check

import { readFileSync, writeFileSync } from "node:fs";
import solc from "solc";

const source = new URL("HashAnchor.sol", import.meta.url);
const artifact = new URL("HashAnchor.json", import.meta.url);

// Without metadata the bytes depend on nothing but the source and the compiler.
// "paris" knows no opcode that older Besu and Quorum networks lack.
const settings = {
  optimizer: { enabled: true, runs: 1_000_000 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  evmVersion: "paris",
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "storageLayout"] } },
};

function compile() {
  const input = {
    language: "Solidity",
    sources: { "HashAnchor.sol": { content: readFileSync(source, "utf8") } },
    settings,
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  if (output.errors?.length) {
    throw new Error(output.errors.map((e) => e.formattedMessage).join("\n"));
  }
  const built = output.contracts["HashAnchor.sol"].HashAnchor;
  const { outputSelection, ...used } = settings;
  return {
    compiler: solc.version(),
    settings: used,
    abi: built.abi,
    initCode: "0x" + built.evm.bytecode.object,
    runtimeCode: "0x" + built.evm.deployedBytecode.object,
    storage: built.storageLayout.storage.map(({ label, slot, offset, type }) => ({ label, slot, offset, type })),
  };
}

const built = JSON.stringify(compile(), null, 2) + "\n";
if (process.argv.includes("--write")) {
  writeFileSync(artifact, built);
} else if (readFileSync(artifact, "utf8") !== built) {
  console.error("HashAnchor.json is not what HashAnchor.sol compiles to: run npm run build");
  process.exit(1);
} else {
  console.log("HashAnchor.json is what HashAnchor.sol compiles to");
}
