/**
 * Ownership of the one aggregator there is: every host is its own, under the epoch of its start. Input: its name and epoch;
 * output: an Ownership that never waits and never loses anything but by closing.
 */
import type { Ownership } from './ownership.ts';

export function soleOwnership(epoch: number, name = 'aggregator', url = ''): Ownership {
  let open = true;
  return {
    name,
    async start() {
      open = true;
    },
    epochOf: () => (open ? epoch : null),
    fleetEpoch: () => (open ? epoch : null),
    fleetHolder: () => null,
    members: () => (open ? [{ name, url }] : []),
    async claim() {
      return open ? { kind: 'held', epoch } : { kind: 'unknown', reason: 'this aggregator stops' };
    },
    async release() {},
    misplaced: () => [],
    onLost() {},
    onFree() {},
    want() {},
    attend() {},
    onWanted() {},
    lapsed: () => false,
    onLapsed() {},
    metrics: () => ({}),
    async close() {
      open = false;
    },
  };
}
