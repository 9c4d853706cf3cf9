// amazon-cognito-identity-js, unmodified: a pool that requires MFA and remembers devices. TOTP set-up while signing in, sign-in
// with a code, the remembered device in place of it, refresh on the device, the device forgotten; then a pool where users turn
// MFA on themselves: TOTP, SMS and the choice between them.
// Environment: ENDPOINT REQUIRED REQUIRED_CLIENT OPTIONAL OPTIONAL_CLIENT USHER; codes are read from `usher inbox`.
import { CognitoUserPool, CognitoUser, AuthenticationDetails } from "amazon-cognito-identity-js";
import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";
import { Authenticator, step, totp } from "./authenticator.mjs";

const { ENDPOINT, REQUIRED, REQUIRED_CLIENT, OPTIONAL, OPTIONAL_CLIENT, USHER } = process.env;
const PASSWORD = "Nanosecond-11.8";

const pool = (id, client) => new CognitoUserPool({ UserPoolId: id, ClientId: client, endpoint: ENDPOINT });
const call = (f) => new Promise((resolve, reject) => f((err, out) => (err ? reject(err) : resolve(out))));
// step runs f with every callback of the library and returns which one it called.
const until = (f) =>
  new Promise((resolve, reject) => {
    const on = (name) => (...args) => resolve({ name, args });
    f({
      onSuccess: on("success"), onFailure: reject, mfaSetup: on("mfaSetup"), totpRequired: on("totpRequired"), mfaRequired: on("mfaRequired"),
      selectMFAType: on("selectMFAType"), associateSecretCode: on("secret"), newPasswordRequired: on("newPasswordRequired"), customChallenge: on("customChallenge"),
    });
  });
const credentials = (name) => new AuthenticationDetails({ Username: name, Password: PASSWORD });
const signIn = (user) => until((h) => user.authenticateUser(credentials(user.getUsername()), h));

// MFA required, devices remembered.
{
  const people = pool(REQUIRED, REQUIRED_CLIENT);
  const user = () => new CognitoUser({ Username: "ada", Pool: people });
  let ada = user();
  let at = await signIn(ada);
  assert.equal(at.name, "mfaSetup");
  assert.deepEqual(JSON.parse(at.args[1].MFAS_CAN_SETUP), ["SOFTWARE_TOKEN_MFA"]);
  at = await until((h) => ada.associateSoftwareToken(h));
  assert.equal(at.name, "secret");
  const secret = at.args[0];
  assert.match(secret, /^[A-Z2-7]{52}$/);
  const app = new Authenticator(secret);
  await assert.rejects(until((h) => ada.verifySoftwareToken(totp(secret, step() - 100), "app", h)), { name: "EnableSoftwareTokenMFAException" });
  at = await until(async (h) => ada.verifySoftwareToken(await app.next(), "app", h));
  assert.equal(at.name, "success");
  assert.ok(at.args[0].isValid());
  console.log("  - TOTP set up while signing in");

  ada = user();
  at = await signIn(ada);
  assert.equal(at.name, "totpRequired");
  assert.equal(at.args[1].FRIENDLY_DEVICE_NAME, "app");
  await assert.rejects(until((h) => ada.sendMFACode(totp(secret, app.last), h, "SOFTWARE_TOKEN_MFA")), { name: "ExpiredCodeException", message: "Your software token has already been used once." });
  await assert.rejects(until((h) => ada.sendMFACode(totp(secret, step() - 100), h, "SOFTWARE_TOKEN_MFA")), { name: "CodeMismatchException", message: "Invalid code received for user" });
  at = await until(async (h) => ada.sendMFACode(await app.next(), h, "SOFTWARE_TOKEN_MFA"));
  assert.equal(at.name, "success");
  const key = at.args[0].getAccessToken().decodePayload().device_key;
  assert.match(key, /^us-east-1_[0-9a-f-]{36}$/);
  console.log("  - TOTP sign-in; the device is confirmed and remembered");

  ada = user();
  at = await signIn(ada);
  assert.equal(at.name, "success", "the device stands for the code");
  assert.equal(at.args[0].getAccessToken().decodePayload().device_key, key);
  const refreshed = await call((done) => ada.refreshSession(at.args[0].getRefreshToken(), done));
  assert.equal(refreshed.getAccessToken().decodePayload().device_key, key);
  const device = await until((h) => ada.getDevice(h));
  assert.equal(device.args[0].Device.DeviceKey, key);
  const devices = await until((h) => ada.listDevices(60, null, h));
  assert.equal(devices.args[0].Devices.length, 1);
  console.log("  - remembered device in place of the code, refresh on it");

  await until((h) => ada.setDeviceStatusNotRemembered(h));
  at = await signIn(user());
  assert.equal(at.name, "totpRequired", "a device that is not remembered");
  await until((h) => ada.setDeviceStatusRemembered(h));
  assert.equal((await signIn(user())).name, "success");
  await until((h) => ada.forgetSpecificDevice(key, h));
  ada = user();
  at = await signIn(ada);
  assert.equal(at.name, "totpRequired", "the library drops the key of a forgotten device and goes on");
  at = await until(async (h) => ada.sendMFACode(await app.next(), h, "SOFTWARE_TOKEN_MFA"));
  assert.notEqual(at.args[0].getAccessToken().decodePayload().device_key, key);
  console.log("  - device no longer remembered, remembered again, forgotten");
}

// MFA as users like it.
{
  const people = pool(OPTIONAL, OPTIONAL_CLIENT);
  const user = () => new CognitoUser({ Username: "grace", Pool: people });
  let grace = user();
  let at = await signIn(grace);
  assert.equal(at.name, "success");
  at = await until((h) => grace.associateSoftwareToken(h));
  const secret = at.args[0];
  const app = new Authenticator(secret);
  const verified = await until(async (h) => grace.verifySoftwareToken(await app.next(), "app", h));
  assert.equal(verified.args[0].Status, "SUCCESS");
  await call((done) => grace.setUserMfaPreference({ PreferredMfa: false, Enabled: true }, { PreferredMfa: true, Enabled: true }, done));
  const data = await call((done) => grace.getUserData(done, { bypassCache: true }));
  assert.equal(data.PreferredMfaSetting, "SOFTWARE_TOKEN_MFA");
  assert.deepEqual(data.UserMFASettingList, ["SMS_MFA", "SOFTWARE_TOKEN_MFA"]);

  grace = user();
  at = await signIn(grace);
  assert.equal(at.name, "totpRequired");
  at = await until(async (h) => grace.sendMFACode(await app.next(), h, "SOFTWARE_TOKEN_MFA"));
  assert.equal(at.name, "success");
  const codes = async (method) =>
    (await fetch(`${ENDPOINT}/_usher/recovery-codes`, { method, headers: { Authorization: `Bearer ${at.args[0].getAccessToken().getJwtToken()}` } })).json();
  const { codes: written } = await codes("POST");
  assert.equal(written.length, 10);
  for (const used of [false, true]) {
    grace = user();
    assert.equal((await signIn(grace)).name, "totpRequired");
    const answered = until((h) => grace.sendMFACode(written[3], h, "SOFTWARE_TOKEN_MFA"));
    if (used) await assert.rejects(answered, { name: "CodeMismatchException" });
    else assert.equal((await answered).name, "success");
  }
  assert.deepEqual(await codes("GET"), { left: 9 });
  const [byOperator] = execFileSync(USHER, ["pool", "recovery-codes", OPTIONAL, "grace"], { encoding: "utf8" }).split("\n");
  grace = user();
  await signIn(grace);
  assert.equal((await until((h) => grace.sendMFACode(byOperator.toUpperCase(), h, "SOFTWARE_TOKEN_MFA"))).name, "success");
  console.log("  - recovery codes in place of TOTP, each once");
  await call((done) => grace.setUserMfaPreference({ PreferredMfa: false, Enabled: true }, { PreferredMfa: false, Enabled: true }, done));

  grace = user();
  at = await signIn(grace);
  assert.equal(at.name, "selectMFAType");
  assert.deepEqual(JSON.parse(at.args[1].MFAS_CAN_CHOOSE), ["SMS_MFA", "SOFTWARE_TOKEN_MFA"]);
  at = await until((h) => grace.sendMFASelectionAnswer("SMS_MFA", h));
  assert.equal(at.name, "mfaRequired");
  assert.equal(at.args[1].CODE_DELIVERY_DESTINATION, "+*******1234");
  const [message] = JSON.parse(execFileSync(USHER, ["inbox", "--json"], { encoding: "utf8" }));
  at = await until((h) => grace.sendMFACode(/\b\d{6}\b/.exec(message.Body)[0], h));
  assert.equal(at.name, "success");
  const session = at.args[0];
  assert.equal(session.getIdToken().decodePayload().phone_number_verified, true);

  await call((done) => grace.setUserMfaPreference({ PreferredMfa: false, Enabled: false }, { PreferredMfa: false, Enabled: false }, done));
  assert.equal((await signIn(user())).name, "success");
  console.log("  - TOTP, SMS and the choice between them, turned on and off by the user");
}
