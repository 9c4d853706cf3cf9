// The page of passkeys.mjs: aws-amplify v6, unmodified, as an app bundles it.
import { Amplify } from "aws-amplify";
import * as auth from "aws-amplify/auth";

window.auth = auth;
window.configure = (pool, client, endpoint) =>
  Amplify.configure({ Auth: { Cognito: { userPoolId: pool, userPoolClientId: client, userPoolEndpoint: endpoint } } });
// Errors lose their names on the way out of the page.
window.nameOf = async (promise) => {
  try {
    return await promise;
  } catch (e) {
    return e.name;
  }
};
