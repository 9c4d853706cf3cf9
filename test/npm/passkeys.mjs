// Passkeys in a real browser: a page with aws-amplify v6 in headless Chromium, whose virtual authenticator makes and proves
// them. Registration, listing, sign-in as preferred and by choice, with and without user verification, deletion, and the
// refusals that a browser can provoke. The page and Usher have different origins, so that CORS is in use.
// Environment: ENDPOINT POOL CLIENT STRICT STRICT_CLIENT (a pool that requires user verification) CHROMIUM.
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { createServer } from "node:http";
import assert from "node:assert/strict";

const { ENDPOINT, POOL, CLIENT, STRICT, STRICT_CLIENT, CHROMIUM = "/usr/bin/chromium" } = process.env;
const PASSWORD = "Orbital-Mechanics-62";

const bundle = await build({
  entryPoints: [new URL("passkeys-page.mjs", import.meta.url).pathname], bundle: true, write: false, format: "iife", platform: "browser",
  define: { global: "globalThis" }, logLevel: "error",
});
const server = createServer((request, response) => {
  if (request.url === "/page.js") response.setHeader("Content-Type", "text/javascript").end(bundle.outputFiles[0].text);
  else if (request.url === "/") response.setHeader("Content-Type", "text/html").end("<!doctype html><title>passkeys</title><script src=/page.js></script>");
  else response.writeHead(404).end();
});
await new Promise((ready) => server.listen(0, "localhost", ready));

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await (await browser.newContext()).newPage();
  page.on("pageerror", (e) => console.error("    page:", e.message));
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const plug = async (isUserVerified, transport = "internal") =>
    (await devtools.send("WebAuthn.addVirtualAuthenticator", {
      options: { protocol: "ctap2", transport, hasResidentKey: true, hasUserVerification: true, isUserVerified, automaticPresenceSimulation: true },
    })).authenticatorId;
  const open = async (pool, client) => {
    await page.goto(`http://localhost:${server.address().port}/`);
    await page.evaluate(([p, c, e]) => configure(p, c, e), [pool, client, ENDPOINT]);
  };
  const signIn = (options) => page.evaluate(([username, options]) => nameOf(auth.signIn({ username, options: { authFlowType: "USER_AUTH", ...options } })), ["lin", options]);
  const withPassword = () =>
    page.evaluate(([username, password]) => nameOf(auth.signIn({ username, password, options: { authFlowType: "USER_AUTH", preferredChallenge: "PASSWORD" } })), ["lin", PASSWORD]);
  const associate = () => page.evaluate(() => nameOf(auth.associateWebAuthnCredential()));
  const list = () => page.evaluate(async () => (await auth.listWebAuthnCredentials()).credentials);
  const signOut = () => page.evaluate(() => auth.signOut());

  const phone = await plug(true);
  await open(POOL, CLIENT);
  assert.equal((await signIn({ preferredChallenge: "WEB_AUTHN" })).nextStep.signInStep, "CONTINUE_SIGN_IN_WITH_FIRST_FACTOR_SELECTION");
  assert.equal((await withPassword()).isSignedIn, true);
  assert.equal(await associate(), undefined);
  assert.equal(await associate(), "PasskeyAlreadyExists", "excludeCredentials");
  const [made] = await list();
  assert.deepEqual([made.relyingPartyId, made.friendlyCredentialName, made.authenticatorAttachment, made.authenticatorTransports], ["localhost", "Platform passkey", "platform", ["internal"]]);
  const { credentials } = await devtools.send("WebAuthn.getCredentials", { authenticatorId: phone });
  assert.equal(credentials.length, 1);
  const { sub } = await page.evaluate(() => auth.fetchUserAttributes());
  assert.equal(Buffer.from(credentials[0].userHandle, "base64").toString(), sub);
  console.log("  - chromium, aws-amplify: a passkey is registered and listed");

  for (let i = 0; i < 2; i++) {
    await signOut();
    assert.equal((await signIn({ preferredChallenge: "WEB_AUTHN" })).isSignedIn, true);
  }
  await signOut();
  const choice = await signIn({});
  assert.ok(choice.nextStep.availableChallenges.includes("WEB_AUTHN"), JSON.stringify(choice));
  assert.equal((await page.evaluate(() => auth.confirmSignIn({ challengeResponse: "WEB_AUTHN" }))).isSignedIn, true);
  assert.equal((await page.evaluate(() => auth.getCurrentUser())).username, "lin");
  console.log("  - chromium, aws-amplify: sign-in as preferred, again, and by choice");

  // The same authenticator with the counter set back is a copy of it.
  const [credential] = (await devtools.send("WebAuthn.getCredentials", { authenticatorId: phone })).credentials;
  await devtools.send("WebAuthn.removeCredential", { authenticatorId: phone, credentialId: credential.credentialId });
  await devtools.send("WebAuthn.addCredential", { authenticatorId: phone, credential: { ...credential, signCount: 0 } });
  await signOut();
  assert.equal(await signIn({ preferredChallenge: "WEB_AUTHN" }), "NotAuthorizedException");
  assert.equal((await withPassword()).isSignedIn, true);
  await page.evaluate((credentialId) => auth.deleteWebAuthnCredential({ credentialId }), made.credentialId);
  assert.deepEqual(await list(), []);
  await signOut();
  assert.equal((await signIn({ preferredChallenge: "WEB_AUTHN" })).nextStep.signInStep, "CONTINUE_SIGN_IN_WITH_FIRST_FACTOR_SELECTION");
  console.log("  - chromium, aws-amplify: a copied passkey is refused, a deleted one not offered");

  await open(STRICT, STRICT_CLIENT);
  assert.equal((await withPassword()).isSignedIn, true);
  await devtools.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId: phone });
  const key = await plug(true, "usb");
  assert.equal(await associate(), undefined);
  assert.deepEqual((await list()).map((c) => c.friendlyCredentialName), ["Roaming passkey"]);
  await signOut();
  assert.equal((await signIn({ preferredChallenge: "WEB_AUTHN" })).isSignedIn, true);
  await signOut();
  await devtools.send("WebAuthn.setUserVerified", { authenticatorId: key, isUserVerified: false });
  assert.match(await signIn({ preferredChallenge: "WEB_AUTHN" }), /NotAllowed|Canceled/i);
  console.log("  - chromium, aws-amplify: a security key, and user verification where the pool requires it");
} finally {
  await browser.close();
  server.close();
}
process.exit(0);
