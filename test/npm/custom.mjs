// amazon-cognito-identity-js, unmodified: custom authentication, without a password and after SRP.
// Environment: ENDPOINT POOL CLIENT; ada@example.org has the username ada and the password Analytical-1843.
import { CognitoUserPool, CognitoUser, AuthenticationDetails } from "amazon-cognito-identity-js";
import assert from "node:assert/strict";

const { ENDPOINT, POOL, CLIENT } = process.env;
const pool = new CognitoUserPool({ UserPoolId: POOL, ClientId: CLIENT, endpoint: ENDPOINT });

// signIn answers the custom challenges in turn; with a password it proves that first.
const signIn = (answers, password) =>
  new Promise((resolve, reject) => {
    const user = new CognitoUser({ Username: "ada", Pool: pool });
    user.setAuthenticationFlowType("CUSTOM_AUTH");
    const seen = [];
    const handler = {
      onSuccess: (session) => resolve({ session, seen }),
      onFailure: reject,
      customChallenge: (parameters) => {
        seen.push(parameters.letters);
        user.sendCustomChallengeAnswer(answers.shift(), handler);
      },
    };
    const details = new AuthenticationDetails({ Username: "ada", Password: password });
    if (password === undefined) user.initiateAuth(details, handler);
    else user.authenticateUser(details, handler);
  });

const once = await signIn(["ada"]);
assert.deepEqual(once.seen, ["3"]);
assert.equal(once.session.getIdToken().decodePayload()["cognito:username"], "ada");
assert.deepEqual((await signIn(["grace", "ada"])).seen, ["3", "3"]);
await assert.rejects(signIn(["grace", "byron"]), { name: "NotAuthorizedException", message: "Incorrect username or password." });
await assert.rejects(signIn(["throw"]), { name: "UserLambdaValidationException", message: "VerifyAuthChallengeResponse failed with error No patience." });
console.log("  - amazon-cognito-identity-js: custom challenges, with a second try, a failure and a function that throws");

assert.equal((await signIn(["ada"], "Analytical-1843")).session.getAccessToken().decodePayload().username, "ada");
await assert.rejects(signIn(["ada"], "Analytical-1844"), { name: "NotAuthorizedException", message: "Incorrect username or password." });
await assert.rejects(signIn(["byron", "byron"], "Analytical-1843"), { name: "NotAuthorizedException" });
console.log("  - amazon-cognito-identity-js: SRP, then a custom challenge");
