/**
 * What a host asks of a guest's own address to know that it serves: plain data that crosses the wire. The schema is the single
 * source of its type. It names a port and a path and never an address: the host takes that from what it knows of the VM itself.
 */
import type { Static } from 'typebox';
import * as Type from 'typebox';

const closed = { additionalProperties: false } as const;
/** Printable ASCII from a slash on: nothing in it ends the request's line. */
export const PROBE_PATH_PATTERN = '^/[\\x21-\\x7e]{0,1023}$';
/** One try; it is repeated until the template's time is over. */
export const PROBE_TIMEOUT_MS_MAX = 10_000;

const port = Type.Integer({ minimum: 1, maximum: 65_535 });
const timeoutMs = Type.Integer({ minimum: 1, maximum: PROBE_TIMEOUT_MS_MAX });

/** tcp: a connection is taken; http: a GET is answered with this status, wherever it would lead on to. */
export const NetworkProbe = Type.Union([
  Type.Object({ kind: Type.Literal('tcp'), port, timeoutMs }, closed),
  Type.Object(
    {
      kind: Type.Literal('http'),
      port,
      path: Type.String({ pattern: PROBE_PATH_PATTERN }),
      status: Type.Integer({ minimum: 100, maximum: 599 }),
      timeoutMs,
    },
    closed,
  ),
]);
export type NetworkProbe = Static<typeof NetworkProbe>;
