// Tokens in the shape of issuers that tests cannot reach.
// usage: node jwt.mjs keys DIR          makes DIR/key.json and the key set DIR/jwks.json
//        node jwt.mjs sign DIR CLAIMS   prints a token that lives for ten minutes
import { createPrivateKey, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const [what, dir, claims] = process.argv.slice(2);
if (what === "keys") {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const kid = randomUUID();
  writeFileSync(`${dir}/key.json`, JSON.stringify({ ...privateKey.export({ format: "jwk" }), kid }));
  writeFileSync(`${dir}/jwks.json`, JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid, alg: "RS256", use: "sig" }] }));
} else {
  const key = JSON.parse(readFileSync(`${dir}/key.json`));
  const now = Math.floor(Date.now() / 1000);
  const encode = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");
  const text = encode({ alg: "RS256", typ: "JWT", kid: key.kid }) + "." + encode({ iat: now, exp: now + 600, ...JSON.parse(claims) });
  console.log(text + "." + sign("sha256", Buffer.from(text), createPrivateKey({ key, format: "jwk" })).toString("base64url"));
}
