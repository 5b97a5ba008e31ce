/**
 * Goal: people come to the console by a real identity provider, and nobody comes by an answer that was not asked for, was changed,
 * overheard, used before, meant for somebody else, or is not the provider's; each refusal is audited.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair } from 'jose';
import t from 'tap';
import { accessWorld } from '../support/access-world.ts';
import { CLIENT_SECRET, logInWorld } from '../support/log-in-world.ts';

const directory = mkdtempSync(join(tmpdir(), 'headroom-log-in-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

async function world(clientSecret?: string | null) {
  const { provider, app, ask, audit } = await logInWorld(directory, 'http://localhost:7400', clientSecret);
  t.teardown(() => provider.close());
  t.teardown(() => app.close());
  const begin = async () => {
    const response = await ask('GET', '/v1/session/provider');
    t.equal(response.statusCode, 303);
    const [cookie] = [response.headers['set-cookie']].flat();
    return { url: new URL(String(response.headers.location)), cookie: String(cookie), kept: String(cookie).split(';')[0]! };
  };
  const end = (back: URL, kept: string | null) =>
    ask('GET', back.pathname + back.search, { headers: kept === null ? {} : { cookie: kept } });
  return { provider, begin, end, ask, audit };
}

t.test(
  'to the provider and back: a session of this site only, for who the provider says, as a client with a secret and as one without',
  async (t) => {
    for (const secret of [CLIENT_SECRET, null]) {
      const { provider, begin, end, ask, audit } = await world(secret);
      t.same((await ask('GET', '/v1/session/ways')).json(), { provider: true });
      const { url, cookie, kept } = await begin();
      t.equal(url.origin, provider.issuer);
      const asked = Object.fromEntries(url.searchParams);
      t.match(asked, { response_type: 'code', client_id: 'headroom', code_challenge_method: 'S256', scope: 'openid email' });
      t.equal(asked.redirect_uri, 'http://localhost:7400/v1/session/provider/answer');
      t.ok([asked.state, asked.nonce, asked.code_challenge].every((value) => value!.length >= 43));
      t.match(cookie, /HttpOnly; SameSite=Lax; Max-Age=600/);
      const answer = await end(await provider.visit(url.href), kept);
      t.match([answer.statusCode, answer.headers.location], [303, '/'], answer.body);
      const [forgotten, session] = [answer.headers['set-cookie']].flat().map(String);
      t.match(forgotten, /headroom-log-in=; .*Max-Age=0/);
      t.match(session, /^headroom=hrs.*HttpOnly; SameSite=Strict/);
      const who = await ask('GET', '/v1/session', { headers: { cookie: session!.split(';')[0]! } });
      t.match(who.json(), { name: 'oidc alice@example.com', role: 'operator' });
      t.match(
        (await audit()).filter(({ event }) => event === 'log-in'),
        [{ subject: 'oidc alice@example.com' }],
      );
      t.same(provider.refusals, []);
    }
  },
);

t.test('refused and audited: what this browser did not ask for, changed, used, kept elsewhere', async (t) => {
  const { provider, begin, end, audit } = await world();
  const refused = async (what: string, back: URL, kept: string | null) => {
    const answer = await end(back, kept);
    t.match(answer.json(), { code: 'UNAUTHENTICATED', status: 401 }, what);
    t.notMatch([answer.headers['set-cookie']].flat().join(), /headroom=hrs/, `${what}: no session`);
  };
  const mine = await begin();
  const theirs = await begin();
  const back = await provider.visit(mine.url.href);
  await refused('an answer that a browser was lured to', back, null);
  await refused("an answer to somebody else's question", back, theirs.kept);
  await refused('something else kept', back, 'headroom-log-in=eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA');
  const changed = new URL(back);
  changed.searchParams.set('state', `${back.searchParams.get('state')}x`);
  await refused('another state', changed, mine.kept);
  t.same(provider.refusals, [], 'none of these reached the provider');
  t.equal((await end(back, mine.kept)).statusCode, 303, 'the true one');
  await refused('the same code again', back, mine.kept);
  const denied = new URL(back);
  denied.search = `?error=access_denied&state=${back.searchParams.get('state')}`;
  await refused('the provider says no', denied, mine.kept);
  t.same(provider.refusals, ['code']);
  t.equal((await audit()).filter(({ event, code }) => event === 'request-refused' && code === 'UNAUTHENTICATED').length, 6);
});

t.test('refused: a code that was overheard, without the verifier; a client that is not the one it was made for', async (t) => {
  const { provider, begin, end } = await world();
  const overheard = await begin();
  const code = (await provider.visit(overheard.url.href)).searchParams.get('code')!;
  const own = await begin();
  const back = await provider.visit(own.url.href);
  back.searchParams.set('code', code);
  t.equal((await end(back, own.kept)).statusCode, 401);
  t.same(provider.refusals, ['verifier']);
});

t.test('refused: tokens with another nonce, for another client, of another issuer, signed by another key', async (t) => {
  const { provider, begin, end } = await world();
  const { privateKey } = await generateKeyPair('ES256');
  for (const lie of [{ nonce: 'old' }, { audience: 'another-client' }, { issuer: 'https://evil.example' }, { key: privateKey }]) {
    Object.assign(provider.lies, { nonce: undefined, audience: undefined, issuer: undefined, key: undefined }, lie);
    const { url, kept } = await begin();
    const answer = await end(await provider.visit(url.href), kept);
    t.equal(answer.statusCode, 401, `${Object.keys(lie)}: ${answer.body}`);
  }
});

t.test('guesses are slowed; a provider that is away is said to be; without one there is no such way', async (t) => {
  const { begin, end, ask, provider } = await world();
  const { url } = await begin();
  const back = await provider.visit(url.href);
  const codes: number[] = [];
  for (let i = 0; i < 12; i++) codes.push((await end(back, null)).statusCode);
  t.equal(codes[0], 401);
  t.equal(codes.at(-1), 429);
  t.equal((await ask('GET', '/v1/session/provider')).statusCode, 429);
  const away = await world();
  await away.provider.close();
  t.match((await away.ask('GET', '/v1/session/provider')).json(), { code: 'UNAVAILABLE' });
  const none = await accessWorld();
  t.match((await none.ask('GET', '/v1/session/provider')).json(), { code: 'NOT_FOUND' });
  t.same((await none.ask('GET', '/v1/session/ways')).json(), { provider: false });
});
