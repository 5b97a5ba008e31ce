/**
 * The template file's shape: the one source of its types, of what is refused and of what an error says is allowed (each
 * `description` completes "expected …"). A template says what a VM of a kind is made from, when it counts as ready, and what
 * policies and forecasts should take it for.
 */
import Type, { type Static } from 'typebox';
import { PROBE_PATH_PATTERN } from '../../../shared/ready-probe.ts';
import { DOMAIN_TYPES, IMAGE_FORMATS, PLAIN_NAME_PATTERN } from '../../../shared/vm-build.ts';
import { WORKLOAD_CLASSES } from '../classify/workload-class.ts';
import { DURATION_PATTERN } from '../plan/durations.ts';

const closed = { additionalProperties: false } as const;
const plainName = (what: string) =>
  Type.String({ pattern: PLAIN_NAME_PATTERN, description: `${what}: letters, digits and . _ + - (at most 128, not beginning with a dot)` });
const words = (maxLength: number) => Type.String({ minLength: 1, maxLength, description: `text of at most ${maxLength} characters` });
const duration = Type.String({ pattern: DURATION_PATTERN, description: 'a duration: a number and ms, s, m, h or d, such as 90s' });
const text = Type.String({ maxLength: 65_536, description: 'text of at most 65536 characters' });

const Image = Type.Object(
  {
    pool: plainName('the name of a storage pool of the host'),
    volume: plainName('the name of a volume in that pool'),
    format: Type.Optional(Type.Enum(IMAGE_FORMATS, { description: `one of ${IMAGE_FORMATS.join(', ')}` })),
    sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$', description: '64 hexadecimal digits, as sha256sum prints them' })),
  },
  { ...closed, description: 'a mapping with pool, volume, format, sha256' },
);

const Seed = Type.Union(
  [
    Type.Object({ cloudInit: Type.Object({ userData: text, networkConfig: Type.Optional(text) }, closed) }, closed),
    Type.Object({ ignition: text }, closed),
  ],
  { description: 'a mapping with cloudInit (userData, networkConfig) or with ignition' },
);

/**
 * What says that a VM can serve. guest-agent: Headroom's own agent answers from within; application: the guest's application
 * tells the metric `ready` as 1; booted: its host takes it as booted, by its guest agent or by the boot deadline.
 */
const NAMED_PROBES = ['guest-agent', 'application', 'booted'] as const;
/** tcp, http: its host reaches a port of it, or gets the answer that is expected. */
export const READY_PROBES = [...NAMED_PROBES, 'tcp', 'http'] as const;
export type ReadyProbe = (typeof READY_PROBES)[number];

const port = Type.Integer({ minimum: 1, maximum: 65_535, description: 'a port from 1 to 65535' });
const Reached = {
  tcp: Type.Object({ tcp: Type.Object({ port, timeout: Type.Optional(duration) }, closed) }, closed),
  http: Type.Object(
    {
      http: Type.Object(
        {
          path: Type.Optional(Type.String({ pattern: PROBE_PATH_PATTERN, description: 'a path such as /healthz' })),
          port: Type.Optional(port),
          status: Type.Optional(Type.Integer({ minimum: 100, maximum: 599, description: 'an HTTP status from 100 to 599' })),
          timeout: Type.Optional(duration),
        },
        closed,
      ),
    },
    closed,
  ),
};
const Probe = Type.Union([Type.Enum(NAMED_PROBES), Reached.tcp, Reached.http], {
  description: `one of ${NAMED_PROBES.join(', ')}, {tcp: {port, timeout}}, {http: {path, port, status, timeout}}`,
});
export type ProbeDocument = Static<typeof Probe>;

export const TemplateDocument = Type.Object(
  {
    version: Type.Literal(1, { description: '1, the version of this format' }),
    name: plainName('the name of the template'),
    description: Type.Optional(words(1024)),
    image: Image,
    /** Noted for people; nothing is installed by it. */
    software: Type.Optional(Type.Array(words(128), { maxItems: 256, description: 'a list of at most 256 names of packages' })),
    domainType: Type.Optional(Type.Enum(DOMAIN_TYPES, { description: `one of ${DOMAIN_TYPES.join(', ')}` })),
    vcpus: Type.Integer({ minimum: 1, maximum: 1024, description: 'a number of vCPUs from 1 to 1024' }),
    memoryMiB: Type.Integer({ minimum: 16, maximum: 67_108_864, description: 'a number of MiB, at least 16' }),
    diskMiB: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_073_741_824, description: "a number of MiB; the image's size where absent" }),
    ),
    boot: Type.Optional(
      Type.Object({ kernel: words(1024), initrd: words(1024), commandLine: Type.String({ maxLength: 4096, description: 'text' }) }, closed),
    ),
    seed: Type.Optional(Seed),
    networks: Type.Optional(
      Type.Array(
        Type.Union(
          [
            Type.Object({ network: plainName('the name of a libvirt network') }, closed),
            Type.Object({ bridge: plainName('the name of a bridge') }, closed),
            Type.Object({ user: Type.Literal(true) }, closed),
          ],
          { description: 'one of {network: NAME}, {bridge: NAME}, {user: true}' },
        ),
        { maxItems: 8, description: 'a list of at most 8 networks' },
      ),
    ),
    ready: Type.Optional(
      Type.Object(
        {
          probe: Type.Optional(Probe),
          within: Type.Optional(duration),
        },
        { ...closed, description: 'a mapping with probe, within' },
      ),
    ),
    class: Type.Optional(Type.Enum(WORKLOAD_CLASSES, { description: `one of ${WORKLOAD_CLASSES.join(', ')}` })),
    labels: Type.Optional(
      Type.Record(Type.String({ pattern: '^[a-zA-Z0-9_][a-zA-Z0-9._/-]{0,63}$' }), Type.String({ maxLength: 256 }), {
        description: 'labels and their values, such as {tier: web}',
      }),
    ),
    /** Stopped VMs of it that each group keeps ready to start: made ahead, and of those no longer needed. */
    warmPool: Type.Optional(Type.Integer({ minimum: 0, maximum: 1000, description: 'a whole number from 0 to 1000' })),
  },
  closed,
);
export type TemplateDocument = Static<typeof TemplateDocument>;
