// aws-amplify v6, unmodified: a guest's session, sign-up, SRP sign-in, the guest who becomes a user with the identity kept,
// attributes, forgotten password, sign-out everywhere, delete. The credentials of each session are used against S3.
// Environment: ENDPOINT POOL CLIENT IDENTITY_POOL USHER.
import { Amplify } from "aws-amplify";
import * as auth from "aws-amplify/auth";
import { S3Client, GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";

const { ENDPOINT, POOL, CLIENT, IDENTITY_POOL, USHER } = process.env;
Amplify.configure({
  Auth: {
    Cognito: {
      userPoolId: POOL,
      userPoolClientId: CLIENT,
      identityPoolId: IDENTITY_POOL,
      userPoolEndpoint: ENDPOINT,
      identityPoolEndpoint: ENDPOINT,
      allowGuestAccess: true,
    },
  },
});
const code = () => /\b\d{6}\b/.exec(JSON.parse(execFileSync(USHER, ["inbox", "--json"], { encoding: "utf8" }))[0].Body)[0];
const s3 = (credentials) => new S3Client({ region: "us-east-1", endpoint: ENDPOINT, credentials });
const read = async (credentials, Key) => (await s3(credentials).send(new GetObjectCommand({ Bucket: "web", Key }))).Body.transformToString();

const guest = await auth.fetchAuthSession();
assert.equal(guest.tokens, undefined);
assert.equal(await read(guest.credentials, "public/hello.txt"), "hello\n");
console.log("  - aws-amplify: a guest's session reads public objects");

const signedUp = await auth.signUp({ username: "lin", password: "Orbital-Mechanics-62", options: { userAttributes: { email: "lin@example.org" } } });
assert.equal(signedUp.nextStep.signUpStep, "CONFIRM_SIGN_UP");
assert.equal(signedUp.nextStep.codeDeliveryDetails.destination, "l***@e***");
assert.equal((await auth.confirmSignUp({ username: "lin", confirmationCode: code() })).isSignUpComplete, true);
await assert.rejects(auth.signIn({ username: "lin", password: "wrong" }), { name: "NotAuthorizedException" });
assert.equal((await auth.signIn({ username: "lin", password: "Orbital-Mechanics-62" })).isSignedIn, true);

const user = await auth.fetchAuthSession();
assert.equal(user.tokens.idToken.payload["cognito:username"], "lin");
assert.equal(user.identityId, guest.identityId, "the guest's identity is kept");
const Key = `private/${user.identityId}/note.txt`;
await s3(user.credentials).send(new PutObjectCommand({ Bucket: "web", Key, Body: "kept" }));
assert.equal(await read(user.credentials, Key), "kept");
await assert.rejects(read(guest.credentials, Key), { name: "AccessDenied" });
const again = await auth.fetchAuthSession({ forceRefresh: true });
assert.notEqual(again.tokens.accessToken.toString(), user.tokens.accessToken.toString());
console.log("  - aws-amplify: SRP sign-in keeps the guest's identity, credentials, refresh");

await auth.updateUserAttributes({ userAttributes: { name: "Lin" } });
assert.equal((await auth.fetchUserAttributes()).name, "Lin");
await auth.updatePassword({ oldPassword: "Orbital-Mechanics-62", newPassword: "Trajectory-1969!" });
await auth.signOut({ global: true });
assert.equal((await auth.resetPassword({ username: "lin" })).nextStep.resetPasswordStep, "CONFIRM_RESET_PASSWORD_WITH_CODE");
await auth.confirmResetPassword({ username: "lin", confirmationCode: code(), newPassword: "Re-Entry-1970!" });
assert.equal((await auth.signIn({ username: "lin", password: "Re-Entry-1970!" })).isSignedIn, true);
await auth.deleteUser();
await assert.rejects(auth.signIn({ username: "lin", password: "Re-Entry-1970!" }));
console.log("  - aws-amplify: attributes, passwords, global sign-out, delete");
process.exit(0);
