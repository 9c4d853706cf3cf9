// amazon-cognito-identity-js, unmodified: sign-up, SRP sign-in, refresh, attributes, password change, forgotten password, new
// password, global sign-out, delete. Then the SDK for JavaScript v3 turns the tokens into S3 objects.
// Environment: ENDPOINT POOL CLIENT IDENTITY_POOL; codes are read from `usher inbox`.
import { CognitoUserPool, CognitoUser, CognitoUserAttribute, AuthenticationDetails } from "amazon-cognito-identity-js";
import { fromCognitoIdentity, fromCognitoIdentityPool } from "@aws-sdk/credential-providers";
import { S3Client, GetObjectCommand, PutObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { CognitoIdentityClient, GetIdCommand } from "@aws-sdk/client-cognito-identity";
import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";

const { ENDPOINT, POOL, CLIENT, IDENTITY_POOL, USHER } = process.env;
const pool = new CognitoUserPool({ UserPoolId: POOL, ClientId: CLIENT, endpoint: ENDPOINT });
const call = (f) => new Promise((resolve, reject) => f((err, out) => (err ? reject(err) : resolve(out))));
const both = (f) => new Promise((resolve, reject) => f({ onSuccess: resolve, onFailure: reject }));
const code = () => {
  const inbox = JSON.parse(execFileSync(USHER, ["inbox", "--json"], { encoding: "utf8" }));
  return /\b\d{6}\b/.exec(inbox[0].Body)[0];
};
const user = () => new CognitoUser({ Username: "grace", Pool: pool });
const signIn = (password, u = user()) =>
  new Promise((resolve, reject) =>
    u.authenticateUser(new AuthenticationDetails({ Username: "grace", Password: password }), {
      onSuccess: (session) => resolve({ session, user: u }),
      onFailure: reject,
      newPasswordRequired: () => reject(new Error("new password required")),
    }),
  );

const email = new CognitoUserAttribute({ Name: "email", Value: "grace@example.org" });
const signedUp = await call((done) => pool.signUp("grace", "Nanosecond-11.8", [email], [], done));
assert.equal(signedUp.userConfirmed, false);
assert.equal(signedUp.codeDeliveryDetails.Destination, "g***@e***");
await assert.rejects(call((done) => pool.signUp("grace", "Nanosecond-11.8", [email], [], done)), { name: "UsernameExistsException" });
await assert.rejects(signIn("Nanosecond-11.8"), { name: "UserNotConfirmedException" });
assert.equal(await call((done) => user().confirmRegistration(code(), false, done)), "SUCCESS");

await assert.rejects(signIn("wrong"), { name: "NotAuthorizedException", message: "Incorrect username or password." });
const { session, user: grace } = await signIn("Nanosecond-11.8");
const claims = session.getIdToken().decodePayload();
assert.equal(claims.iss, `${ENDPOINT}/${POOL}`);
assert.equal(claims["cognito:username"], "grace");
assert.equal(claims.email_verified, true);
assert.equal(session.getAccessToken().decodePayload().scope, "aws.cognito.signin.user.admin");

const refreshed = await call((done) => grace.refreshSession(session.getRefreshToken(), done));
assert.notEqual(refreshed.getAccessToken().getJwtToken(), session.getAccessToken().getJwtToken());

const name = new CognitoUserAttribute({ Name: "name", Value: "Grace" });
assert.equal(await call((done) => grace.updateAttributes([name], done)), "SUCCESS");
const attributes = await call((done) => grace.getUserAttributes(done));
assert.equal(attributes.find((a) => a.Name === "name").Value, "Grace");

const other = new CognitoUserAttribute({ Name: "email", Value: "hopper@example.org" });
assert.equal(await call((done) => grace.updateAttributes([other], done)), "SUCCESS");
const unverified = await call((done) => grace.getUserAttributes(done));
assert.equal(unverified.find((a) => a.Name === "email_verified").Value, "false");
await assert.rejects(both((h) => grace.verifyAttribute("email", "000000", h)), { name: "CodeMismatchException" });
assert.equal(await both((h) => grace.verifyAttribute("email", code(), h)), "SUCCESS");
const sent = await both((h) => grace.getAttributeVerificationCode("email", { ...h, inputVerificationCode: h.onSuccess }));
assert.equal(sent.CodeDeliveryDetails.Destination, "h***@e***");
assert.equal(await both((h) => grace.verifyAttribute("email", code(), h)), "SUCCESS");

assert.equal(await call((done) => grace.changePassword("Nanosecond-11.8", "Compiler-1952!", done)), "SUCCESS");
await assert.rejects(signIn("Nanosecond-11.8"), { name: "NotAuthorizedException" });
await both((h) => user().forgotPassword({ ...h, inputVerificationCode: h.onSuccess }));
await both((h) => user().confirmPassword(code(), "Flow-Matic-1955", h));
const again = await signIn("Flow-Matic-1955");

// A user whom an administrator has made chooses a password.
const kay = new CognitoUser({ Username: "kay", Pool: pool });
const asked = await new Promise((resolve, reject) =>
  kay.authenticateUser(new AuthenticationDetails({ Username: "kay", Password: "Temporary-1.8" }), { onSuccess: reject, onFailure: reject, newPasswordRequired: (attributes, required) => resolve({ attributes, required }) }),
);
assert.deepEqual(asked, { attributes: {}, required: [] });
await assert.rejects(both((h) => kay.completeNewPasswordChallenge("short", {}, h)), { name: "InvalidPasswordException" });
assert.ok((await both((h) => kay.completeNewPasswordChallenge("Small-Talk-1972", { name: "Kay" }, h))).isValid());
console.log("  - amazon-cognito-identity-js: sign-up, SRP, refresh, attributes with verification, passwords, new password");

// The SDK: a guest, then the same identity as a signed-in user, then S3.
const clientConfig = { region: "us-east-1", endpoint: ENDPOINT };
const login = `cognito-idp.us-east-1.amazonaws.com/${POOL}`;
const logins = { [login]: again.session.getIdToken().getJwtToken() };
const s3 = (options) =>
  new S3Client({ ...clientConfig, credentials: fromCognitoIdentityPool({ clientConfig, identityPoolId: IDENTITY_POOL, ...options }) });
const { IdentityId } = await new CognitoIdentityClient(clientConfig).send(new GetIdCommand({ IdentityPoolId: IDENTITY_POOL, Logins: logins }));

const mine = s3({ logins });
const Key = `private/${IdentityId}/note with space+plus.txt`;
await mine.send(new PutObjectCommand({ Bucket: "web", Key, Body: "kept" }));
const got = await mine.send(new GetObjectCommand({ Bucket: "web", Key }));
assert.equal(await got.Body.transformToString(), "kept");
await assert.rejects(mine.send(new GetObjectCommand({ Bucket: "web", Key: "private/other/x" })), { name: "AccessDenied" });
await assert.rejects(mine.send(new ListObjectsV2Command({ Bucket: "web" })), { name: "AccessDenied" });

const guest = s3({});
const open = await guest.send(new GetObjectCommand({ Bucket: "web", Key: "public/hello.txt" }));
assert.equal(await open.Body.transformToString(), "hello\n");
await assert.rejects(guest.send(new GetObjectCommand({ Bucket: "web", Key })), { name: "AccessDenied" });
console.log("  - @aws-sdk: fromCognitoIdentityPool for guest and user, exactly the role's objects");

// The identity by its id: as the user, by either spelling of the login key, and never as nobody.
const byId = (options) =>
  new S3Client({ ...clientConfig, credentials: fromCognitoIdentity({ clientConfig, identityId: IdentityId, ...options }) });
const token = async () => again.session.getIdToken().getJwtToken();
for (const key of [login, `${new URL(ENDPOINT).host}/${POOL}`]) {
  const read = await byId({ logins: { [key]: token } }).send(new GetObjectCommand({ Bucket: "web", Key }));
  assert.equal(await read.Body.transformToString(), "kept");
}
await assert.rejects(byId({}).send(new GetObjectCommand({ Bucket: "web", Key })), { name: "NotAuthorizedException", message: /is forbidden/ });
await assert.rejects(byId({ logins, customRoleArn: "arn:aws:iam::123456789012:role/admin" }).send(new GetObjectCommand({ Bucket: "web", Key })), {
  name: "NotAuthorizedException",
});
console.log("  - @aws-sdk: fromCognitoIdentity, both spellings of the login key, no other role");

await both((h) => again.user.globalSignOut(h));
await assert.rejects(call((done) => again.user.getUserAttributes(done)), { message: "Access Token has been revoked" });
const last = await signIn("Flow-Matic-1955");
assert.equal(await call((done) => last.user.deleteUser(done)), "SUCCESS");
await assert.rejects(signIn("Flow-Matic-1955"));
console.log("  - amazon-cognito-identity-js: global sign-out, delete");
