/**
 * A process to be killed: brings a guest back from its snapshot, says so, and when it is told to suspends it again. Arguments: libvirt's
 * socket, the folder in RAM, that of the store, the snapshot's id. Input: a line; output: a line with the identity of the guest's memory
 * once it runs, then a line for each chunk that was read of it.
 */
import { once } from 'node:events';
import { prepareResume } from '../../agent/actuators/resume-vm.ts';
import { suspendVm } from '../../agent/actuators/suspend-vm.ts';
import { openSuspendParts } from './suspendable-guest.ts';

const [socket, ram, disk, id] = process.argv.slice(2) as [string, string, string, string];
const { deps, store } = await openSuspendParts({ socket, ram, disk });
const residence = await (await prepareResume(deps, await store.open(id), { predicted: [] })).go();
process.stdout.write(`${JSON.stringify(residence.place.identity)}\n`);
await once(process.stdin, 'data');
const onProgress = (doneBytes: number): void => void process.stdout.write(`${doneBytes}\n`);
await suspendVm({ ...deps, onProgress }, residence.snapshot.manifest.facts.vm, residence);
