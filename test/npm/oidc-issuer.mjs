// A real OpenID Connect provider on a loopback port, with one RSA and one elliptic-curve key. Anybody may sign in under any name.
// usage: node oidc-issuer.mjs PORT
import { generateKeyPairSync, randomUUID } from "node:crypto";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const jwk = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }), alg, use: "sig", kid: randomUUID(),
});
const client = (id, alg) => ({
  client_id: id, id_token_signed_response_alg: alg, application_type: "native", token_endpoint_auth_method: "none",
  grant_types: ["authorization_code"], response_types: ["code"], redirect_uris: ["http://127.0.0.1/callback"],
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client("workload", "RS256"), client("workload-ec", "ES256"), client("stranger", "RS256")],
  jwks: { keys: [jwk("rsa", { modulusLength: 2048 }, "RS256"), jwk("ec", { namedCurve: "P-256" }, "ES256")] },
  cookies: { keys: [randomUUID()] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
provider.listen(port, "127.0.0.1", () => console.log("ready"));
