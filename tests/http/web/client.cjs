// A page's client: Connect's own gRPC-Web transport and Protobuf-ES, as published, with fetch.
//
// node client.cjs FOLDER DESCRIPTORS URL: for each line of JSON on standard input, `{"rpc": …, "request": …}`, one line
// with the answer or the error. FOLDER has the packages in node_modules.

const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const { createInterface } = require("node:readline");

const [, , folder, descriptors, baseUrl] = process.argv;
const installed = createRequire(`${folder}/`);
const { createFileRegistry, fromBinary, fromJson, toJson } = installed("@bufbuild/protobuf");
const { FileDescriptorSetSchema, AnySchema } = installed("@bufbuild/protobuf/wkt");
const { ConnectError, createClient } = installed("@connectrpc/connect");
const { createGrpcWebTransport } = installed("@connectrpc/connect-web");

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const transport = createGrpcWebTransport({ baseUrl });

async function call({ rpc, request }) {
  const [name, method] = rpc.split("/");
  const found = registry.getService(name).methods.find((each) => each.name === method);
  const client = createClient(registry.getService(name), transport);
  try {
    const answered = client[found.localName](fromJson(found.input, request, { registry }));
    if (found.methodKind === "server_streaming") {
      const answer = [];
      for await (const each of answered) answer.push(toJson(found.output, each, { registry }));
      return { answer };
    }
    return { answer: toJson(found.output, await answered, { registry }) };
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const details = error.details.map(({ type, value }) => {
      const packed = { $typeName: "google.protobuf.Any", typeUrl: `type.googleapis.com/${type}`, value };
      return toJson(AnySchema, packed, { registry });
    });
    return { code: error.code, message: error.rawMessage, details };
  }
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await call(JSON.parse(line)))}\n`);
  }
})();
