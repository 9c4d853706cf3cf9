// amazon-cognito-identity-js, unmodified: a user of another directory signs in, then by SRP, and sets a new password.
// Environment: ENDPOINT POOL CLIENT USHER; grace has the password cobol in the other directory.
import { CognitoUserPool, CognitoUser, AuthenticationDetails } from "amazon-cognito-identity-js";
import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";

const { ENDPOINT, POOL, CLIENT, USHER } = process.env;
const pool = new CognitoUserPool({ UserPoolId: POOL, ClientId: CLIENT, endpoint: ENDPOINT });

const signIn = (name, password, flow) =>
  new Promise((resolve, reject) => {
    const user = new CognitoUser({ Username: name, Pool: pool });
    user.setAuthenticationFlowType(flow);
    user.authenticateUser(new AuthenticationDetails({ Username: name, Password: password }), { onSuccess: resolve, onFailure: reject });
  });

await assert.rejects(signIn("grace", "cobol", "USER_SRP_AUTH"), { name: "UserNotFoundException" });
await assert.rejects(signIn("grace", "fortran", "USER_PASSWORD_AUTH"), { name: "UserLambdaValidationException", message: "UserMigration failed with error Unknown there." });
const session = await signIn("grace", "cobol", "USER_PASSWORD_AUTH");
assert.equal(session.getIdToken().decodePayload().email, "grace@example.org");
await signIn("grace", "cobol", "USER_SRP_AUTH");
console.log("  - amazon-cognito-identity-js: a user of another directory, by password and from then on by SRP");

const grace = new CognitoUser({ Username: "grace", Pool: pool });
await new Promise((resolve, reject) => grace.forgotPassword({ onSuccess: resolve, onFailure: reject, inputVerificationCode: resolve }));
const [, code] = /CustomMessage_ForgotPassword: (\d{6})/.exec(execFileSync(USHER, ["inbox"], { encoding: "utf8" }));
await new Promise((resolve, reject) => grace.confirmPassword(code, "Nanosecond-11.8", { onSuccess: resolve, onFailure: reject }));
await signIn("grace", "Nanosecond-11.8", "USER_SRP_AUTH");
console.log("  - amazon-cognito-identity-js: a new password, by a code in the words of CustomMessage");
