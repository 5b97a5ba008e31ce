/** Goal: a key enrolled or revoked, a token made or revoked at one aggregator counts at the others, and ends connections there. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { openAgentKeyWith } from '../../agent/agent-key.ts';
import { AgentRegistry } from '../../aggregator/identity/agent-registry.ts';
import { ApiTokens } from '../../aggregator/identity/api-tokens.ts';
import { SecurityLog } from '../../aggregator/identity/security-log.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/log.ts';
import { helloFrame } from '../support/wire-world.ts';

const ledger = createMemoryLedgerStore();
const security = new SecurityLog(
  ledger,
  systemClock,
  createLogger(() => undefined, systemClock, 'error'),
);

t.test('agents', async (t) => {
  const evicted: string[] = [];
  const registry = (evict: (agent: string) => void) =>
    AgentRegistry.load({ ledger, clock: systemClock, security, always: true, keyMsMax: 1e12, evict });
  const [a, b] = [await registry(() => undefined), await registry((agent) => evicted.push(agent))];
  await a.issueToken('host/kvm1', 60_000, 'alice');
  t.equal(b.list().tokens.length, 0);
  await b.refresh();
  t.match(b.list().tokens, [{ agent: 'host/kvm1', by: 'alice' }]);
  const key = { keyId: 'k1', publicKey: 'p1', agent: 'host/kvm1', sinceMs: 1, rotate: false, revokedAtMs: null };
  await ledger.putBlob('agent-identities', new TextEncoder().encode(JSON.stringify({ keys: [key], tokens: [] })));
  await a.refresh();
  await b.refresh();
  t.same(evicted, [], 'a new key ends nothing');
  await a.revoke('host/kvm1', 'alice', 'stolen', true);
  t.equal((await a.rotate('host/kvm1', 'alice', true)).rotate, false);
  t.match(a.list().keys, [{ revokedAtMs: null, rotate: false }], 'only tried');
  await a.revoke('host/kvm1', 'alice', 'stolen');
  await b.refresh();
  t.same(evicted, ['host/kvm1']);
  t.ok(b.list().keys[0]!.revokedAtMs);
  await b.refresh();
  t.equal(evicted.length, 1, 'once');
});

t.test('a token made, and a key enrolled, at one aggregator counts at the next in the same moment', async (t) => {
  const own = createMemoryLedgerStore();
  const load = () =>
    AgentRegistry.load({ ledger: own, clock: systemClock, security, always: true, keyMsMax: 1e12, evict: () => undefined });
  const [a, b, c] = [await load(), await load(), await load()];
  const { token } = await a.issueToken('host/kvm1', 60_000, 'alice');
  const key = openAgentKeyWith(t.testdir(), token);
  const occasion = { hello: helloFrame({ host: 'kvm1' }), nonce: randomBytes(32).toString('base64url'), binding: '' };
  const proof = key.prove({ type: 'challenge', nonce: occasion.nonce, rotate: false }, occasion.hello, '');
  const keyId = await b.prove(occasion, proof);
  t.equal(await c.prove(occasion, proof), keyId, 'sent on before it was welcomed, it need not enrol twice');
});

t.test('API tokens', async (t) => {
  const [a, b] = [await ApiTokens.load(ledger, systemClock, security), await ApiTokens.load(ledger, systemClock, security)];
  const made = await a.make({ name: 'grafana', role: 'viewer', tenant: null, labels: {}, validMs: null }, 'alice');
  t.equal(b.principalOf(made.token), null);
  await b.refresh();
  t.match(b.principalOf(made.token), { role: 'viewer' });
  await b.revoke('grafana', 'bob', true);
  t.match(b.principalOf(made.token), { role: 'viewer' }, 'only tried');
  t.throws(() => b.tryToMake({ name: 'grafana', role: 'viewer', tenant: null, labels: {}, validMs: null }, 'bob'), { code: 'CONFLICT' });
  await b.revoke('grafana', 'bob');
  await a.refresh();
  t.equal(a.principalOf(made.token), null);
});
