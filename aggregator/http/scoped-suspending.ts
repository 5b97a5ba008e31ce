/**
 * Suspended VMs as the one who asks may see them and order for them; snapshot stores are the whole fleet's. Input: the service, whose
 * names go with orders, which VMs are one's own; output: the same.
 */
import type { VmId } from '../../shared/ids.ts';
import type { SuspendService } from './suspend-service.ts';

interface Scope {
  service: { readonly suspending: SuspendService };
  /** Who changes something is named with it. */
  named: (by: string) => string;
  /** Of null: all of them are. */
  own: (vm: VmId | null) => boolean;
  refuse: (what: string) => never;
}

export function scopedSuspending({ service, named, own, refuse }: Scope): SuspendService {
  const must = (vm: VmId): VmId => (own(vm) ? vm : refuse(`VM ${vm}`));
  return {
    suspensions: () => service.suspending.suspensions().filter(({ vm }) => own(vm)),
    stores: () => (own(null) ? service.suspending.stores() : []),
    orders: () => service.suspending.orders().filter(({ vm }) => own(vm)),
    order(id) {
      const found = service.suspending.order(id);
      return found !== null && own(found.vm) ? found : null;
    },
    suspend: (vm, by, dryRun) => service.suspending.suspend(must(vm), named(by), dryRun),
    resume: (vm, by, to, dryRun) => service.suspending.resume(must(vm), named(by), to, dryRun),
    prefetch: (vm, terms, by, dryRun) => service.suspending.prefetch(must(vm), terms, named(by), dryRun),
    release: (vm, by, dryRun) => service.suspending.release(must(vm), named(by), dryRun),
    verify: (vm, by, dryRun) => service.suspending.verify(must(vm), named(by), dryRun),
    collect: (host, by, dryRun) => (own(null) ? service.suspending.collect(host, named(by), dryRun) : refuse('a snapshot store')),
  };
}
