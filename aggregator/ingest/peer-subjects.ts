/**
 * Of whom an agent may speak: its own host or VM, and the VMs that its host reports. Two hosts may report the same VM (a migration, a
 * copied disk): the one that has it keeps it, and what the other told waits until it has left. Input: inventories, blocks, VMs that
 * frames are about; output: the parts of them that are this agent's, what was dropped counted, and told once.
 */
import { HeadroomError } from '../../shared/errors.ts';
import { GuestFieldGate } from '../../shared/guest-fields.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { IngestCounters, PeerKey, PeerState } from './peer-state.ts';

type VmInventory = FrameOf<'inventory'>['vms'][number];

/** May a peer speak of a VM: its own, one that nobody reports (just started, or long gone), one it reports while another host has it, or another host's. */
type Standing = 'own' | 'unknown' | 'contested' | 'foreign';

const DROP_REASONS = { unknown: 'unknown-vm', contested: 'contested-vm', foreign: 'foreign-subject' } as const;

export interface SubjectMeans {
  counters: IngestCounters;
  options: { ownsVm: (vm: VmId) => HostId | null; mayMove?: (vm: VmId, to: HostId) => boolean };
  onProblem(error: HeadroomError, key: PeerKey): void;
}

export class PeerSubjects {
  readonly #means: SubjectMeans;
  readonly #gate = new GuestFieldGate();
  /** VMs of its latest inventory that other hosts have, as it told of them. */
  #contested: ReadonlyMap<string, VmInventory> = new Map();
  /** Other hosts' VMs it has spoken of, told once each. */
  readonly #foreign = new Set<string>();
  #host: FrameOf<'inventory'>['host'] | undefined;

  constructor(means: SubjectMeans) {
    this.#means = means;
  }

  get inventorySeen(): boolean {
    return this.#host !== undefined;
  }

  get contested(): readonly VmId[] {
    return [...this.#contested.keys()] as VmId[];
  }

  /** VMs that another host has and keeps are left out: a host speaks for its own. */
  inventory(frame: FrameOf<'inventory'>, peer: PeerState): FrameOf<'inventory'> {
    const contested = new Map<string, VmInventory>();
    for (const told of frame.vms) if (this.#isKeptElsewhere(told.vm as VmId, peer)) contested.set(told.vm, told);
    for (const vm of contested.keys()) {
      this.#means.counters.dropped['contested-vm']++;
      if (!this.#contested.has(vm)) this.#tellContested(vm, peer);
    }
    if (!frame.full) {
      // What it does not speak of now is as it was.
      const spokenOf = new Set([...frame.gone, ...frame.vms.map(({ vm }) => vm)]);
      for (const [vm, told] of this.#contested) if (!spokenOf.has(vm)) contested.set(vm, told);
    }
    this.#contested = contested;
    this.#host = frame.host;
    const vms = contested.size === 0 ? frame.vms : frame.vms.filter(({ vm }) => !contested.has(vm));
    peer.remember(vms.map(({ vm }) => vm));
    for (const vm of contested.keys()) peer.reported.delete(vm);
    return contested.size === 0 ? frame : { ...frame, vms };
  }

  /** What it told of a VM that another host had then and has left since; null = nothing that is its own now. */
  settle(vm: VmId, peer: PeerState): FrameOf<'inventory'> | null {
    const [held, host] = [this.#contested.get(vm), this.#host];
    if (held === undefined || host === undefined || this.#isKeptElsewhere(vm, peer)) return null;
    this.#contested = new Map([...this.#contested].filter(([other]) => other !== vm));
    peer.remember([vm]);
    return { type: 'inventory', full: false, host, vms: [held], gone: [] };
  }

  /** The blocks that are this agent's; `refused`: what ends the connection of a guest that sends others. */
  sift(decoded: readonly TelemetryBlock[], peer: PeerState): { blocks: TelemetryBlock[]; refused: HeadroomError | null } {
    const { counters } = this.#means;
    const blocks: TelemetryBlock[] = [];
    let refused: HeadroomError | null = null;
    for (const block of decoded) {
      const rows = block.timesMs.length;
      if (rows === 0) continue;
      const standing = this.#standing(block, peer);
      if (standing !== 'own') {
        counters.dropped[DROP_REASONS[standing]] += rows;
        if (standing !== 'foreign') continue;
        const { subject, source } = block;
        const error = notIts(`telemetry of ${subject.kind} ${subject.id} by ${source}`);
        if (peer.kind === 'host' && subject.kind === 'vm') this.#tellForeign(subject.id, peer, error);
        else refused = error;
      } else if (peer.kind === 'guest' && !this.#gate.accepts(block.fields)) counters.dropped['refused-fields'] += rows;
      else blocks.push(block);
    }
    return { blocks, refused };
  }

  /** Events and results: false and counted when the VM is unknown or another host's; a guest that speaks of another VM loses its connection. */
  mayReport(vm: string, peer: PeerState): boolean {
    const standing = this.#standingOfVm(vm, peer);
    if (standing === 'own') return true;
    this.#means.counters.dropped[DROP_REASONS[standing]]++;
    if (standing !== 'foreign') return false;
    const error = notIts(`a frame about VM ${vm}`);
    if (peer.kind === 'guest') throw error;
    this.#tellForeign(vm, peer, error);
    return false;
  }

  #standing(block: TelemetryBlock, peer: PeerState): Standing {
    const { subject, source } = block;
    if (peer.kind === 'guest') return subject.kind === 'vm' && subject.id === peer.vm && source === 'guest' ? 'own' : 'foreign';
    if (subject.kind === 'host') return subject.id === peer.host && source === 'host' ? 'own' : 'foreign';
    return this.#standingOfVm(subject.id, peer);
  }

  #standingOfVm(vm: string, peer: PeerState): Standing {
    if (peer.kind === 'guest') return vm === peer.vm ? 'own' : 'foreign';
    if (peer.reported.has(vm)) return 'own';
    if (this.#contested.has(vm)) return 'contested';
    const { ownsVm, mayMove } = this.#means.options;
    const reporter = ownsVm(vm as VmId);
    if (reporter === null || reporter === peer.host) return 'unknown';
    // One that has just come over by a live migration is heard of before the inventory that lists it.
    return mayMove?.(vm as VmId, peer.host) === true ? 'unknown' : 'foreign';
  }

  #isKeptElsewhere(vm: VmId, peer: PeerState): boolean {
    const { mayMove, ownsVm } = this.#means.options;
    const owner = ownsVm(vm);
    return owner !== null && owner !== peer.host && mayMove?.(vm, peer.host) === false;
  }

  #tellContested(vm: string, peer: PeerState): void {
    const owner = this.#means.options.ownsVm(vm as VmId);
    const error = new HeadroomError('PERMISSION', `host ${peer.host} reports VM ${vm}, which host ${owner} has and keeps`);
    this.#means.onProblem(error, peer.key);
  }

  /**
   * What a host had to say of a VM while nobody listened is said after that VM has gone on to another, too: it is dropped, and
   * costs no more. An agent keeps what was not read, so the end of the connection would be the end of the next one as well.
   */
  #tellForeign(vm: string, peer: PeerState, error: HeadroomError): void {
    if (this.#foreign.has(vm)) return;
    this.#foreign.add(vm);
    this.#means.onProblem(error, peer.key);
  }
}

function notIts(what: string): HeadroomError {
  return new HeadroomError('PERMISSION', `${what}, which is not this agent's to report`);
}

export function rowsOf(blocks: readonly TelemetryBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.timesMs.length, 0);
}
