// A SAML 2.0 identity provider: samlify with a key and certificate of openssl.
// usage: node saml-idp.mjs metadata FOLDER          prints the metadata document
//        node saml-idp.mjs respond FOLDER 'JSON'    prints a signed response in base64
// FOLDER holds key.pem and cert.pem. JSON: recipient, audience, nameId, sign (assertion, message or both), age in seconds,
// and attributes: {name: [values]}.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import samlify from "samlify";

samlify.setSchemaValidator({ validate: async () => "not used: nothing is read here" });
const [command, folder, json] = process.argv.slice(2);
const input = json ? JSON.parse(json) : {};
const attributes = Object.entries(input.attributes ?? {});
const { binding } = samlify.Constants.namespace;
const template = samlify.SamlLib.defaultLoginResponseTemplate.context.replaceAll(' InResponseTo="{InResponseTo}"', "");

const idp = samlify.IdentityProvider({
  entityID: "https://idp.example.org/samlify",
  privateKey: readFileSync(join(folder, "key.pem"), "utf8"),
  signingCert: readFileSync(join(folder, "cert.pem"), "utf8"),
  requestSignatureAlgorithm: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
  nameIDFormat: ["urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"],
  singleSignOnService: [{ Binding: binding.redirect, Location: "https://idp.example.org/sso" }],
  loginResponseTemplate: {
    context: template,
    // One tag for each value: samlify takes attributes with one value.
    attributes: attributes.flatMap(([name, values], i) =>
      values.map((_, j) => ({ name, nameFormat: "urn:oasis:names:tc:SAML:2.0:attrname-format:uri", valueXsiType: "xs:string", valueTag: `a${i}v${j}` }))),
  },
});

if (command === "metadata") {
  console.log(idp.getMetadata());
} else {
  const sign = input.sign ?? "assertion";
  const sp = samlify.ServiceProvider({
    entityID: input.audience,
    wantAssertionsSigned: sign !== "message",
    wantMessageSigned: sign !== "assertion",
    assertionConsumerService: [{ Binding: binding.post, Location: input.recipient }],
  });
  const at = (seconds) => new Date(Date.now() + 1000 * (seconds - (input.age ?? 0))).toISOString();
  const id = idp.entitySetting.generateID();
  const values = {
    ID: id, AssertionID: idp.entitySetting.generateID(), Issuer: idp.entityMeta.getEntityID(), Destination: input.recipient,
    StatusCode: samlify.Constants.StatusCode.Success, IssueInstant: at(0), NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    NameID: input.nameId, SubjectConfirmationDataNotOnOrAfter: at(300), SubjectRecipient: input.recipient,
    ConditionsNotBefore: at(0), ConditionsNotOnOrAfter: at(300), Audience: input.audience, AuthnStatement: "",
  };
  attributes.forEach(([, list], i) => list.forEach((v, j) => { values[`attrA${i}v${j}`] = v; }));
  const { context } = await idp.createLoginResponse(sp, {}, "post", {}, (text) => ({ id, context: samlify.SamlLib.replaceTagsByValue(text, values) }));
  console.log(context);
}
