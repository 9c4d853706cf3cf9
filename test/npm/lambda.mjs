// A small Lambda API: POST /2015-03-31/functions/{ARN}/invocations runs the handlers below, written as Lambda has them.
// Custom challenges ask for the word that the e-mail address begins with, twice at most. usage: node lambda.mjs PORT
import { createServer } from "node:http";

const functions = {
  async define(event) {
    const { session } = event.request;
    const last = session.at(-1);
    if (last?.challengeName === "SRP_A") event.response.challengeName = "PASSWORD_VERIFIER";
    else if (last?.challengeName === "CUSTOM_CHALLENGE" && last.challengeResult) event.response.issueTokens = true;
    else if (session.filter((s) => s.challengeName === "CUSTOM_CHALLENGE").length >= 2) event.response.failAuthentication = true;
    else event.response.challengeName = "CUSTOM_CHALLENGE";
    return event;
  },
  async create(event) {
    const word = event.request.userAttributes.email.split("@")[0];
    event.response = { publicChallengeParameters: { letters: String(word.length) }, privateChallengeParameters: { word }, challengeMetadata: "WORD" };
    return event;
  },
  // Another directory: grace, whose password no policy here accepts.
  async migrate(event) {
    const { password } = event.request;
    if (event.userName !== "grace" || (password !== undefined && password !== "cobol")) throw new Error("Unknown there");
    event.response.userAttributes = { email: "grace@example.org", email_verified: "true" };
    event.response.finalUserStatus = "CONFIRMED";
    event.response.messageAction = "SUPPRESS";
    return event;
  },
  async words(event) {
    const { codeParameter, linkParameter } = event.request;
    event.response.emailSubject = `To ${event.userName}`;
    event.response.emailMessage = `${event.triggerSource}: ${linkParameter ?? codeParameter}`;
    return event;
  },
  async verify(event) {
    if (event.request.challengeAnswer === "throw") throw new Error("No patience");
    event.response.answerCorrect = event.request.challengeAnswer === event.request.privateChallengeParameters.word;
    return event;
  },
};

createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  const name = /^\/2015-03-31\/functions\/(.+)\/invocations$/.exec(decodeURIComponent(request.url))?.[1].split(":").at(-1);
  const signed = /^AWS4-HMAC-SHA256 Credential=lambda-key\/\d{8}\/us-east-1\/lambda\/aws4_request, /.test(request.headers.authorization ?? "");
  if (!signed || !functions[name]) {
    response.writeHead(signed ? 404 : 403, { "x-amzn-errortype": signed ? "ResourceNotFoundException" : "UnrecognizedClientException" }).end("{}");
    return;
  }
  try {
    response.end(JSON.stringify(await functions[name](JSON.parse(body))));
  } catch (e) {
    response.writeHead(200, { "x-amz-function-error": "Unhandled" }).end(JSON.stringify({ errorMessage: e.message, errorType: e.name }));
  }
}).listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
