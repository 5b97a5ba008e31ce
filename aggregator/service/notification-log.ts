/**
 * What the owners of VMs are told: the latest per VM, a live feed, and whoever else wants to hear (webhooks). Input: sentences
 * about a VM; output: notifications with rising ids. Bounded per VM and in all: the oldest go first.
 */
import type { VmId } from '../../shared/ids.ts';
import type { Notification, Notifier } from '../notify/notifier.ts';

/** A day of a VM that changes every few minutes. */
const PER_VM_MAX = 300;
/** VMs with notifications remembered: a large fleet. */
const VMS_MAX = 20_000;

export type Told = Omit<Notification, 'id' | 'vmName'>;

export interface KnownVm {
  name: string;
  host: string;
  labels: Readonly<Record<string, string>>;
}

export class NotificationLog {
  readonly #byVm = new Map<VmId, Notification[]>();
  readonly #listeners = new Map<VmId, Set<(notification: Notification) => void>>();
  readonly #notifiers: readonly Notifier[];
  readonly #known: (vm: VmId) => KnownVm | null;
  #lastId: number;

  /** Ids begin at the time of the start: above all of an earlier run, unless it told more than one a millisecond. */
  constructor(startedAtMs: number, notifiers: readonly Notifier[], known: (vm: VmId) => KnownVm | null) {
    this.#lastId = startedAtMs;
    this.#notifiers = notifiers;
    this.#known = known;
  }

  add(told: Told): void {
    const known = this.#known(told.vm);
    const notification: Notification = { ...told, id: ++this.#lastId, vmName: known?.name ?? '' };
    this.#keep(notification);
    for (const listener of this.#listeners.get(told.vm) ?? []) listener(notification);
    for (const notifier of this.#notifiers) notifier.notify(notification, known?.labels ?? {}, known?.host ?? '');
  }

  /** What an earlier run told, oldest first: remembered, and told to nobody again. */
  recall(told: readonly Told[], beforeMs: number): void {
    let id = beforeMs - told.length;
    for (const each of told) this.#keep({ ...each, id: id++, vmName: this.#known(each.vm)?.name ?? '' });
  }

  #keep(notification: Notification): void {
    const { vm } = notification;
    const own = this.#byVm.get(vm) ?? [];
    own.push(notification);
    if (own.length > PER_VM_MAX) own.shift();
    // Moved to the end: who was told longest ago is forgotten first.
    this.#byVm.delete(vm);
    this.#byVm.set(vm, own);
    if (this.#byVm.size <= VMS_MAX) return;
    const [oldest] = this.#byVm.keys();
    if (oldest !== undefined) this.#byVm.delete(oldest);
  }

  /** Newest last. */
  recent(vm: VmId, limit: number): Notification[] {
    return (this.#byVm.get(vm) ?? []).slice(-limit);
  }

  subscribe(vm: VmId, listener: (notification: Notification) => void): () => void {
    const own = this.#listeners.get(vm) ?? new Set();
    this.#listeners.set(vm, own.add(listener));
    return () => {
      own.delete(listener);
      if (own.size === 0) this.#listeners.delete(vm);
    };
  }
}
