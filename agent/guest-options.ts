/**
 * The options of the guest's role, and what they share with the others. Input: none; output: a table for `parseOptions` and
 * `optionHelp`. Keys are the file's; flags are the same in kebab-case.
 */
import { LOG_LEVELS } from '../shared/log.ts';
import { matching, number, type Option, type Options, oneOf, orNull, text, texts } from './options.ts';

export const seconds = (least: number) => number(least, 86_400 * 30);

export const LOG_LEVEL = {
  kind: oneOf(LOG_LEVELS),
  default: 'info',
  value: 'LEVEL',
  help: `least level that is logged: ${LOG_LEVELS.join(', ')}`,
} satisfies Option;

/** How an agent and its aggregator know each other beyond one machine. */
export const IDENTITY_OPTIONS = {
  caFile: {
    kind: orNull(text),
    default: null,
    value: 'FILE',
    help: "certificates (PEM) by which the aggregator is known (default: the system's)",
  },
  tokenFile: {
    kind: orNull(text),
    default: null,
    value: 'FILE',
    help: 'holds the single-use token that enrols this agent, from `headroom agent token`',
  },
} satisfies Options;

export const GUEST_OPTIONS = {
  channel: { kind: text, default: 'org.headroom.agent.0', value: 'NAME', help: 'virtio-serial port to the host agent' },
  aggregator: { kind: orNull(text), default: null, value: 'URL', help: 'connect there by WebSocket instead of the channel' },
  ...IDENTITY_OPTIONS,
  vm: { kind: orNull(text), default: null, value: 'UUID', help: "this VM's UUID (default: as DMI tells it)" },
  stateDir: { kind: text, default: '/var/lib/headroom-agent', value: 'DIR', help: 'samples that wait on disk (WebSocket only)' },
  ringMiB: {
    kind: number(0, 65_536),
    default: 16,
    value: 'N',
    help: 'disk that samples may take while the aggregator is away (WebSocket only); 0 = memory only',
  },
  workloadMetrics: {
    kind: orNull(text),
    default: null,
    value: 'PATH',
    help: 'file of `name value` lines, sent as vm_app.NAME (claimed)',
  },
  statsd: {
    kind: texts(4),
    default: [],
    value: 'ADDRESS',
    help: 'takes StatsD metrics there, sent as vm_app.NAME: 127.0.0.1:PORT (UDP) or the path of a Unix socket (lines); may be given several times',
  },
  scrape: {
    kind: texts(16),
    default: [],
    value: 'URL',
    help: 'Prometheus text of a local application, fetched every 15 s, sent as vm_app.NAME; may be given several times',
  },
  credentialAccount: {
    kind: orNull(matching(/^[a-z_][a-z0-9_-]{0,31}$/)),
    default: null,
    value: 'NAME',
    help: 'allows logins to be made for this account of the guest, never root, when they are asked for through the API (default: none)',
  },
  credentialMethod: {
    kind: oneOf(['ssh-key', 'password']),
    default: 'ssh-key',
    value: 'METHOD',
    help: 'what such a login is: ssh-key, beside what the account has, which ends by itself; or password, which replaces its password',
  },
  credentialMinutes: { kind: number(1, 7 * 24 * 60), default: 60, value: 'N', help: 'how long such an SSH key lets in' },
  sampleSeconds: { kind: seconds(0.1), default: 1, value: 'N', help: 'pace of samples' },
  logLevel: LOG_LEVEL,
} satisfies Options;
