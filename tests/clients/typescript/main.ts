// A caller in TypeScript: it makes a user, reads, lists and renames it, and deletes it.
import { equals } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { UserSchema, UserService } from "./gen/marketplace/v1/user_pb.js";

const users = createClient(UserService, createGrpcTransport({ baseUrl: `http://${process.argv[2]}` }));

const made = await users.createUser({ user: { email: "ts@example.com", username: "typescript" } });
const read = await users.getUser({ name: made.name });
if (!equals(UserSchema, made, read)) {
  throw new Error(`made ${made.name} and read ${read.name}`);
}
const page = await users.listUsers({ pageSize: 10 });
if (page.users.length !== 1) {
  throw new Error(`listed ${page.users.length} users`);
}
const renamed = await users.updateUser({
  user: { name: made.name, fullName: "A Typist" },
  updateMask: { paths: ["full_name"] },
});
await users.deleteUser({ name: made.name });
try {
  await users.deleteUser({ name: made.name });
  throw new Error("a deleted user is deleted again");
} catch (error) {
  if (ConnectError.from(error).code !== Code.NotFound) {
    throw error;
  }
}
console.log(renamed.name, renamed.fullName);
