/** Goal: a VM is another host's the moment its host says that it has left, and never on the other one's word alone. */
import t from 'tap';
import { decisionConfig } from '../../aggregator/config.ts';
import { forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { FleetState } from '../../aggregator/core/state/fleet-state.ts';
import { mayMove } from '../../aggregator/service/vm-moves.ts';
import { hostId, vmId } from '../../shared/ids.ts';
import { policyOf } from '../support/fleet.ts';
import { eventFrame, inventoryFrame, vmUuid } from '../support/wire-world.ts';

const [A, B, VM] = [hostId('a'), hostId('b'), vmId(vmUuid(1))];
const POLICY = policyOf('version: 1\n');
const state = (): FleetState => {
  const made = new FleetState({ ...decisionConfig({}), epoch: 1, factory: forecasterFactory }, POLICY);
  for (const host of [A, B]) made.setConnected(host, true, 0);
  made.applyInventory(A, inventoryFrame([VM]), 0);
  return made;
};

t.test('gone on to another host', async (t) => {
  const fleet = state();
  const may = (): boolean => mayMove(fleet.vm(VM), B, () => true);
  t.equal(may(), false, 'its host has it running');
  fleet.applyEvent(B, { ...eventFrame('left', VM), kind: 'migrated' }, 0, 0);
  t.equal(may(), false, 'another cannot say so');
  fleet.applyEvent(A, { ...eventFrame('left', VM), kind: 'lifecycle' }, 0, 0);
  t.equal(may(), false);
  fleet.applyEvent(A, { ...eventFrame('left', VM), kind: 'migrated' }, 0, 0);
  t.equal(may(), true);
  fleet.applyInventory(B, inventoryFrame([VM]), 1);
  t.equal(fleet.vm(VM)?.host, B);
  t.equal(
    mayMove(fleet.vm(VM), A, () => true),
    false,
    'and has it as the first had',
  );
});
