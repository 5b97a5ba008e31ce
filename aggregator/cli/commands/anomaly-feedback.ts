/** `headroom anomaly feedback|expect|release`: a person's word on incidents, events announced, an isolation ended. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { Feedback } from '../../core/anomaly/feedback.ts';
import { parseDuration } from '../../core/plan/durations.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { show } from './show.ts';

const WORDS: Readonly<Record<string, Feedback>> = { 'false-alarm': 'false alarm', expected: 'expected' };

export const anomalyFeedback: ApiCommand = {
  kind: 'api',
  name: 'anomaly feedback',
  summary: "say that an incident was a false alarm or expected: tunes that VM's detectors",
  args: ['ID', 'false-alarm|expected'],
  watches: 'never',
  options: {},
  async run(context) {
    const [id = '', word = ''] = context.positionals;
    const feedback = WORDS[word];
    if (feedback === undefined) throw new HeadroomError('USAGE', `anomaly feedback: "${word}" is neither false-alarm nor expected`);
    const incident = await context.api.send('post', '/v1/anomalies/{id}/feedback', { path: { id }, body: { feedback } });
    show(context, incident, () => printable(`${incident.kind} of ${incident.vmName}: ${feedback}; its detectors are tuned\n`));
    return EXIT.ok;
  },
};

export const anomalyExpect: ApiCommand = {
  kind: 'api',
  name: 'anomaly expect',
  summary: 'announce a deployment or a load test, so that what it does to VMs explains itself',
  args: [],
  watches: 'never',
  options: {
    vm: { type: 'string', value: 'NAME', help: 'only this VM' },
    for: { type: 'string', value: 'DURATION', help: 'from now, such as 30m; 1h by default' },
    why: { type: 'string', value: 'TEXT', help: 'shown with what it explains' },
  },
  async run(context) {
    const { vm, for: lasts = '1h', why = 'announced at the command line' } = context.values;
    if (!/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(String(lasts)))
      throw new HeadroomError('USAGE', `anomaly expect: --for ${String(lasts)} is no duration`);
    const { nowMs } = await context.api.get('/v1/status');
    const named = typeof vm === 'string' ? { vm } : {};
    const body = { toMs: Math.round(nowMs + parseDuration(String(lasts))), why: String(why), ...named };
    const event = await context.api.send('post', '/v1/known-events', { body });
    show(context, event, () => printable(`until ${new Date(event.toMs).toISOString()}: ${String(why)}\n`));
    return EXIT.ok;
  },
};

export const anomalyRelease: ApiCommand = {
  kind: 'api',
  name: 'anomaly release',
  summary: 'give an isolated VM its network back before its time',
  args: ['VM'],
  watches: 'never',
  options: {},
  async run(context) {
    const ended = await context.api.send('delete', '/v1/vms/{id}/isolation', { path: { id: context.positionals[0]! } });
    show(context, ended, () => printable(`${ended.outcome}${ended.reason === '' ? '' : `: ${ended.reason}`}\n`));
    return ended.outcome === 'applied' ? EXIT.ok : EXIT.failed;
  },
};
