// A provider of OpenID Connect at which people log in in tests: oidc-provider, with a form to log in
// with and people from a file. It keeps sessions and grants in memory, so that a restart forgets them.
//
//     node provider.js CONFIGURATION
//
// CONFIGURATION is a JSON file with the members
//
//     issuer     its URL, http://127.0.0.1:PORT
//     keys       the private keys as JWKs; the first one signs
//     clients    the clients, in oidc-provider's form
//     resources  the audiences that access tokens can be for, which are then of RFC 9068
//     people     the path of a JSON file: {"NAME": {"password", "name", "email", "groups": []}},
//                which is read anew each time
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider, { errors } from 'oidc-provider';

const configuration = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const issuer = new URL(configuration.issuer);

const people = () => JSON.parse(readFileSync(configuration.people, 'utf8'));

const scopes = ['openid', 'offline_access', 'profile', 'email', 'groups'];

// The claims of a person, as the file has them now.
function claimsOf(accountId) {
  const { name, email, groups } = people()[accountId];
  return { sub: accountId, name, email, email_verified: true, groups };
}

// Clients are the bank's own, which needs nobody's consent.
async function grantOf(ctx) {
  const { client, provider, session } = ctx.oidc;
  const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
  grant.addOIDCScope(scopes.join(' '));
  grant.addOIDCClaims(['name', 'email', 'groups']);
  for (const resource of configuration.resources) grant.addResourceScope(resource, 'api');
  await grant.save();
  return grant;
}

function resourceServer(_ctx, resource) {
  if (!configuration.resources.includes(resource)) throw new errors.InvalidTarget();
  return {
    scope: 'api',
    audience: resource,
    accessTokenFormat: 'jwt',
    accessTokenTTL: 3600,
    jwt: { sign: { alg: 'ES256' } },
  };
}

const provider = new Provider(configuration.issuer, {
  clients: configuration.clients,
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  jwks: { keys: configuration.keys },
  cookies: {
    keys: ['signs the cookies of tests'],
    // Cookies know no ports, and there may be another provider on this machine.
    names: {
      session: `session_${issuer.port}`,
      interaction: `interaction_${issuer.port}`,
      resume: `resume_${issuer.port}`,
    },
  },
  scopes,
  claims: {
    openid: ['sub'],
    profile: ['name'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  pkce: { required: () => true },
  responseTypes: ['code'],
  ttl: { AccessToken: 3600, IdToken: 3600, Interaction: 3600, Grant: 86400, Session: 86400 },
  features: {
    devInteractions: { enabled: false },
    claimsParameter: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
  },
  findAccount: (_ctx, accountId) =>
    people()[accountId] && { accountId, claims: () => claimsOf(accountId) },
  extraTokenClaims: (_ctx, token) => token.accountId && claimsOf(token.accountId),
  loadExistingGrant: grantOf,
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
});

// Each institution has an address of its own that browsers come back to, below the one that its client is
// listed with: the provider is there before the institution.
const isListed = provider.Client.prototype.redirectUriAllowed;
provider.Client.prototype.redirectUriAllowed = function redirectUriAllowed(uri) {
  return isListed.call(this, uri) || this.redirectUris.some((listed) => uri.startsWith(`${listed}/`));
};

provider.on('server_error', (_ctx, error) => console.error(error));

const form = `<!DOCTYPE html>
<html lang="en">
<title>Log in</title>
<form method="post">
  <label>Name <input name="name" autocomplete="username"></label>
  <label>Password <input name="password" type="password" autocomplete="current-password"></label>
  <button>Log in</button>
</form>
`;

async function bodyOf(request) {
  let body = '';
  for await (const part of request) body += part;
  return new URLSearchParams(body);
}

// The step that a login waits for: the form, and what is sent with it.
async function interact(request, response) {
  const { prompt } = await provider.interactionDetails(request, response); // It throws where no login waits.
  if (prompt.name === 'consent') { // Programs on people's machines ask for it each time.
    await provider.interactionFinished(request, response, { consent: {} }, { mergeWithLastSubmission: true });
    return;
  }
  if (request.method === 'POST') {
    const sent = await bodyOf(request);
    const name = sent.get('name');
    if (people()[name]?.password === sent.get('password')) {
      await provider.interactionFinished(request, response, { login: { accountId: name } });
      return;
    }
  }
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(form);
}

const answer = provider.callback();
const server = createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  return interact(request, response).catch((error) => {
    console.error(error);
    response.writeHead(400, { 'content-type': 'text/plain' });
    response.end(String(error));
  });
});
server.listen(Number(issuer.port), issuer.hostname, () => console.log('serving'));
