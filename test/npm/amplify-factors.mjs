// aws-amplify v6, unmodified: the temporary password of an invitation, an e-mail address that is verified before it is used,
// custom challenges, codes in place of passwords, an authenticator app, and the device that is remembered in place of it.
// Environment: ENDPOINT POOL CLIENT USHER; ada@example.org has the username ada and the temporary password Analytical-1843.
import { Amplify } from "aws-amplify";
import * as auth from "aws-amplify/auth";
import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";
import { Authenticator, step, totp } from "./authenticator.mjs";

// A browser has a navigator; without one the library confirms no devices.
globalThis.navigator ??= { userAgent: "node" };
const { ENDPOINT, POOL, CLIENT, USHER } = process.env;
Amplify.configure({ Auth: { Cognito: { userPoolId: POOL, userPoolClientId: CLIENT, userPoolEndpoint: ENDPOINT } } });
const code = () => /\b\d{6,8}\b/.exec(JSON.parse(execFileSync(USHER, ["inbox", "--json"], { encoding: "utf8" }))[0].Body)[0];
const password = "Engine-1843!";
const signIn = async (options, username = "ada") => (await auth.signIn({ username, options, ...(options ? {} : { password }) })).nextStep.signInStep;
const answer = async (challengeResponse) => (await auth.confirmSignIn({ challengeResponse })).nextStep.signInStep;

const invited = await auth.signIn({ username: "ada", password: "Analytical-1843" });
assert.equal(invited.nextStep.signInStep, "CONFIRM_SIGN_IN_WITH_NEW_PASSWORD_REQUIRED");
await assert.rejects(auth.confirmSignIn({ challengeResponse: "short" }), { name: "InvalidPasswordException" });
assert.equal(await answer(password), "DONE");

const { email } = await auth.updateUserAttributes({ userAttributes: { email: "countess@example.org" } });
assert.equal(email.nextStep.updateAttributeStep, "CONFIRM_ATTRIBUTE_WITH_CODE");
assert.equal(email.nextStep.codeDeliveryDetails.destination, "c***@e***");
assert.equal((await auth.fetchUserAttributes()).email, "ada@example.org", "the old address stays until the new one is verified");
await assert.rejects(auth.confirmUserAttribute({ userAttributeKey: "email", confirmationCode: "000000" }), { name: "CodeMismatchException" });
await auth.confirmUserAttribute({ userAttributeKey: "email", confirmationCode: code() });
assert.deepEqual([(await auth.fetchUserAttributes()).email, (await auth.fetchUserAttributes()).email_verified], ["countess@example.org", "true"]);
await auth.signOut();
console.log("  - aws-amplify: new password, e-mail address verified before it is used");

assert.equal(await signIn({ authFlowType: "USER_AUTH", preferredChallenge: "EMAIL_OTP" }), "CONFIRM_SIGN_IN_WITH_EMAIL_CODE");
await assert.rejects(auth.confirmSignIn({ challengeResponse: "00000000" }), { name: "CodeMismatchException" });
assert.equal(await answer(code()), "DONE");
await auth.signOut();
assert.equal(await signIn({ authFlowType: "USER_AUTH" }), "CONTINUE_SIGN_IN_WITH_FIRST_FACTOR_SELECTION");
assert.equal(await answer("EMAIL_OTP"), "CONFIRM_SIGN_IN_WITH_EMAIL_CODE");
assert.equal(await answer(code()), "DONE");
await auth.signOut();

const joined = await auth.signUp({ username: "kay", options: { userAttributes: { email: "kay@example.org" }, autoSignIn: { authFlowType: "USER_AUTH" } } });
assert.equal(joined.nextStep.signUpStep, "CONFIRM_SIGN_UP");
assert.equal((await auth.confirmSignUp({ username: "kay", confirmationCode: code() })).nextStep.signUpStep, "COMPLETE_AUTO_SIGN_IN");
assert.equal((await auth.autoSignIn()).isSignedIn, true);
assert.equal((await auth.getCurrentUser()).username, "kay");
await auth.signOut();
console.log("  - aws-amplify: codes by e-mail in place of passwords, asked for and chosen, sign-up without a password");

assert.equal(await signIn({ authFlowType: "CUSTOM_WITHOUT_SRP" }), "CONFIRM_SIGN_IN_WITH_CUSTOM_CHALLENGE");
assert.equal(await answer("wrong"), "CONFIRM_SIGN_IN_WITH_CUSTOM_CHALLENGE");
assert.equal(await answer("countess"), "DONE");
await auth.signOut();
console.log("  - aws-amplify: custom challenges");

assert.equal(await signIn(), "DONE");
const { sharedSecret } = await auth.setUpTOTP();
const app = new Authenticator(sharedSecret);
await assert.rejects(auth.verifyTOTPSetup({ code: totp(sharedSecret, step() - 100) }), { name: "EnableSoftwareTokenMFAException" });
await auth.verifyTOTPSetup({ code: await app.next() });
await auth.updateMFAPreference({ totp: "PREFERRED" });
assert.deepEqual(await auth.fetchMFAPreference(), { enabled: ["TOTP"], preferred: "TOTP" });
await auth.forgetDevice();
await auth.signOut();
assert.equal(await signIn(), "CONFIRM_SIGN_IN_WITH_TOTP_CODE");
assert.equal(await answer(await app.next()), "DONE");
await auth.rememberDevice();
assert.ok((await auth.fetchDevices()).length > 0);
await auth.signOut();
assert.equal(await signIn(), "DONE", "the device stands for the code");
await auth.forgetDevice();
await auth.signOut();
assert.equal(await signIn(), "CONFIRM_SIGN_IN_WITH_TOTP_CODE");
assert.equal(await answer(await app.next()), "DONE");
console.log("  - aws-amplify: authenticator app, remembered device, forgotten");
process.exit(0);
