/**
 * The part of the configuration that makes this aggregator one of several. Input: what stands under `cluster`, where series are
 * kept; output: checked values, null = it is the only one; or CONFIG_INVALID naming the key and what is allowed. Secrets stand
 * in files of their own.
 */
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { HeadroomError } from '../shared/errors.ts';
import type { StoreConfig } from './store-config.ts';

const closed = { additionalProperties: false } as const;
const text = Type.String({ minLength: 1, maxLength: 4096 });

const Cluster = Type.Object(
  {
    /** Of this aggregator, unlike any other's and always the same. */
    name: Type.String({ pattern: '^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?$' }),
    /** Where agents reach this aggregator. */
    agentsUrl: Type.String({ pattern: '^wss?://', maxLength: 512 }),
    etcd: Type.Object(
      {
        endpoints: Type.Array(Type.String({ pattern: '^https?://', maxLength: 512 }), { minItems: 1, maxItems: 16 }),
        caFile: Type.Optional(text),
        certFile: Type.Optional(text),
        keyFile: Type.Optional(text),
        username: Type.Optional(text),
        passwordFile: Type.Optional(text),
      },
      closed,
    ),
    /** The authority of the others' certificates, where it is one's own: requests about their hosts are passed on to them. */
    caFile: Type.Optional(text),
    /** Begin of all keys in etcd: one for each fleet. */
    prefix: Type.Optional(Type.String({ pattern: '^[a-zA-Z0-9/_-]{1,128}$' })),
    /** An aggregator that is silent for so long has lost its hosts. */
    leaseMs: Type.Optional(Type.Integer({ minimum: 2000, maximum: 60_000, multipleOf: 1000 })),
    /** Agents and aggregator hear of each other this often; four silent ones end a connection. */
    heartbeatMs: Type.Optional(Type.Integer({ minimum: 100, maximum: 30_000 })),
  },
  closed,
);
const CHECK = Compile(Cluster);

type Given = Static<typeof Cluster>;
export type ClusterConfig = Required<Omit<Given, 'caFile'>> & Pick<Given, 'caFile'>;

const DEFAULTS = {
  prefix: 'headroom/',
  // etcd grants two seconds at least; one more rides out the election of its leader.
  leaseMs: 3000,
  // A stopped aggregator is left after 2.4 s, when its lease is about to end.
  heartbeatMs: 600,
};

/** `given`: as read from the file; undefined: one aggregator alone. Throws CONFIG_INVALID. */
export function resolveCluster(given: unknown, store: StoreConfig): ClusterConfig | null {
  if (given === undefined) return null;
  const refuse = (message: string): never => {
    throw new HeadroomError('CONFIG_INVALID', message);
  };
  if (!CHECK.Check(given)) {
    const error = CHECK.Errors(given).find(({ keyword }) => keyword !== 'boolean');
    return refuse(`the configuration at /cluster${error?.instancePath ?? ''} ${error?.message ?? 'does not fit'}`);
  }
  if (store.kind === 'sqlite') {
    refuse(
      'several aggregators need a series store that they share, or an owner would not know what its predecessor saw: set store.kind to influxdb or victoriametrics (sqlite is one aggregator\'s own), or leave "cluster" out',
    );
  }
  const { etcd } = given;
  if ((etcd.certFile === undefined) !== (etcd.keyFile === undefined)) refuse('cluster.etcd.certFile and cluster.etcd.keyFile go together');
  if ((etcd.username === undefined) !== (etcd.passwordFile === undefined))
    refuse('cluster.etcd.username and cluster.etcd.passwordFile go together');
  return { ...DEFAULTS, ...given };
}
