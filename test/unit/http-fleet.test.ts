/** Goal: aggregators tell each other what they see and nothing gets lost on the way; only who holds the fleet is told, and only it gives orders. */
import t from 'tap';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { BUILD_PATH, type FleetHold, httpFleetPeers, SIGHT_PATH, wordsOf } from '../../aggregator/http/fleet-peers.ts';
import type { FleetAsked, FleetTold } from '../../aggregator/http/fleet-service.ts';
import { askedIn, askedText, orderIn, orderText, toldIn, toldText } from '../../aggregator/http/fleet-wire.ts';
import { hostId, vmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { fakeService } from '../support/fake-service.ts';

const VM = vmId('6f1b0000-0000-4000-8000-000000000001');
const HOST = hostId('kvm2');
const RESULT: FrameOf<'build-result'> = {
  ...{ type: 'build-result', orderId: 'o/1', action: 'build', vm: VM, pair: { epoch: 7, generation: 2 } },
  ...{ outcome: 'applied', code: null, reason: 'made', wallMs: 1 },
};
const ORDER: FrameOf<'build'> = {
  ...{ type: 'build', orderId: 'o/1', pair: { epoch: 0, generation: 2 }, leaseMs: 1000 },
  order: { action: 'stop', vm: VM },
};
const TOLD: FleetTold = {
  sight: {
    hosts: [
      {
        ...{ id: HOST, connected: true, barred: null, makesVms: true, takesVms: false, probes: true },
        ...{ freeMemoryMiB: 4000.5, freeCores: 3, running: [VM] },
      },
    ],
    vms: [
      {
        ...{ id: VM, name: 'web-1', host: HOST, labels: { class: 'web' }, state: 'ready', vcpus: 2, bootMemoryMiB: 512, guestAgent: true },
        demand: {
          cpu: { now: 0.5, ageMs: 1000 },
          memory: { now: null, ageMs: Number.POSITIVE_INFINITY },
          network: { now: 0, ageMs: 0 },
        },
        step: {
          ...{ startMs: 5000, points: { memory: { value: null } }, memoryClaimed: false },
          windows: { cpu: Float64Array.of(0.5, Number.NaN), network: Float64Array.of() },
        },
      },
    ],
  },
  answers: [{ host: HOST, result: RESULT }],
  mark: { run: 3, count: 1 },
};

t.test('what is written is read as it was; what does not fit is refused', async (t) => {
  t.strictSame(toldIn(toldText(TOLD)), TOLD);
  const asked: FleetAsked = { vms: [VM], since: { run: 3, count: 1 } };
  t.strictSame(askedIn(JSON.parse(askedText(asked))), asked);
  t.strictSame(orderIn(JSON.parse(orderText({ host: HOST, frame: ORDER }))), { host: HOST, frame: ORDER });
  for (const broken of ['{}', toldText(TOLD).replace('"ready"', '"dancing"'), toldText(TOLD).replace('"build-result"', '"hello"')])
    t.throws(() => toldIn(broken), { code: 'FRAME_INVALID' });
  t.throws(() => orderIn({ host: 'kvm2', frame: RESULT }), { code: 'FRAME_INVALID' });
});

t.test('by the word of the hold, and by no other', async (t) => {
  const passed: unknown[] = [];
  let holder: FleetHold | null = { epoch: 12, word: 'secret' };
  let held: FleetHold | null = holder;
  const desk = {
    tell: ({ vms }: FleetAsked): FleetTold => (vms.length === 1 ? TOLD : { ...TOLD, answers: [] }),
    pass: (host: string, frame: unknown) => passed.push([host, frame]) > 0,
  };
  const app = await createHttpApp(await fakeService(), {
    peers: { origins: () => [], ask: () => Promise.reject(new Error('nobody')), holder: () => null, fleet: { desk, holder: () => holder } },
  });
  t.teardown(() => app.close());
  const [peer] = httpFleetPeers({
    others: () => [{ name: 'b', origin: 'http://b' }],
    hold: () => held,
    async ask(_origin, { path, headers, body }) {
      const answer = await app.inject({
        method: 'POST',
        url: path,
        headers: { ...headers, host: 'localhost' } as never,
        payload: body ?? '',
      });
      return { status: answer.statusCode, headers: {}, body: answer.rawPayload };
    },
  })();
  t.strictSame(await peer!.look({ vms: [VM], since: null }), TOLD);
  await peer!.build(HOST, ORDER);
  t.strictSame(passed, [[HOST, ORDER]]);

  const status = async (words: string | null, url = SIGHT_PATH, payload: object = { vms: [], since: null }): Promise<number> => {
    const headers = { host: 'localhost', ...(words === null ? {} : { authorization: words }) };
    return (await app.inject({ method: 'POST', url, headers, payload })).statusCode;
  };
  t.equal(await status(wordsOf(holder)), 200);
  for (const wrong of [null, '', 'Bearer secret', wordsOf({ epoch: 11, word: 'secret' }), wordsOf({ epoch: 12, word: 'Secret' })]) {
    t.equal(await status(wrong), 401, `${wrong}`);
    t.equal(await status(wrong, BUILD_PATH, { host: HOST, frame: ORDER }), 401);
  }
  holder = { epoch: 13, word: '' };
  t.equal(await status(wordsOf(holder)), 503, 'an older one that has no word');
  holder = null;
  t.equal(await status('Fleet 12 secret'), 503);
  await t.rejects(peer!.look({ vms: [], since: null }), { code: 'UNAVAILABLE' });
  held = null;
  await t.rejects(peer!.build(HOST, ORDER), { code: 'UNAVAILABLE' });
  t.equal(passed.length, 1);
  t.notOk(JSON.stringify(app.swagger()).includes('/v1/fleet/'), 'not for people');
});
