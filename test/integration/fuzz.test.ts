/** Goal: a batch of what `npm run soak -- fuzz` does in millions: hostile frames and requests crash nothing, and honest ones go on. */
import t from 'tap';
import { fuzzFrames } from '../soak/frame-fuzz.ts';
import { fuzzHttp } from '../soak/http-fuzz.ts';

const SEED = 20_261_121;
t.setTimeout(60_000);

t.test('frames', async (t) => {
  const { frames, connections, refused, byCode, honestAcknowledged } = await fuzzFrames(SEED, 20_000);
  t.ok(frames >= 20_000);
  t.ok(connections > 500 && refused > connections / 4, 'most connections end by a refusal');
  for (const code of ['FRAME_MALFORMED', 'FRAME_INVALID', 'FRAME_OUT_OF_ORDER', 'HANDSHAKE_REFUSED']) t.ok((byCode[code] ?? 0) > 0, code);
  t.ok(honestAcknowledged > 10, 'the honest peer was served all the while');
});

t.test('requests', async (t) => {
  const { requests, overSockets, byStatus } = await fuzzHttp(SEED, 1500);
  t.ok(requests >= 1500 && overSockets > 100);
  for (const status of ['200', '400', '401', '403', '404']) t.ok((byStatus[status] ?? 0) > 0, status);
});
