// Signs in at a provider as a browser and a native application do (authorization code with PKCE), and prints the ID token.
// usage: node oidc-signin.mjs ISSUER CLIENT USER
import { createHash, randomBytes } from "node:crypto";

const [issuer, client, user] = process.argv.slice(2);
const verifier = randomBytes(32).toString("base64url");
const redirect = "http://127.0.0.1/callback";
const jar = new Map();

async function visit(url, form) {
  const res = await fetch(new URL(url, issuer), {
    redirect: "manual", method: form ? "POST" : "GET", body: form && new URLSearchParams(form),
    headers: { cookie: [...jar].map(([k, v]) => `${k}=${v}`).join("; ") },
  });
  for (const line of res.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    value ? jar.set(name, value) : jar.delete(name);
  }
  return res.headers.get("location") ?? (() => { throw new Error(`${res.status} at ${url}`); })();
}

let at = await visit("/auth?" + new URLSearchParams({
  client_id: client, response_type: "code", scope: "openid", redirect_uri: redirect, code_challenge_method: "S256",
  code_challenge: createHash("sha256").update(verifier).digest("base64url"),
}));
for (const form of [{ prompt: "login", login: user, password: "any" }, { prompt: "consent" }]) {
  at = await visit(await visit(at, form)); // an interaction, back to the authorization, on to what is next
}
const code = new URL(at).searchParams.get("code");
const tokens = await (await fetch(new URL("/token", issuer), {
  method: "POST", body: new URLSearchParams({ grant_type: "authorization_code", client_id: client, code, code_verifier: verifier, redirect_uri: redirect }),
})).json();
if (!tokens.id_token) throw new Error(JSON.stringify(tokens));
console.log(tokens.id_token);
