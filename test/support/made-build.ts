/** A build of a small VM, and changes to it. */
import type { VmBuild } from '../../shared/vm-build.ts';

export const POOL = 'templates';
export const IMAGE = 'debian.qcow2';

export function madeBuild(change: Partial<VmBuild> = {}): VmBuild {
  return {
    name: 'web-1',
    domainType: 'auto',
    vcpus: 1,
    memoryMiB: 512,
    disk: { pool: POOL, image: IMAGE, format: 'qcow2', sha256: null, sizeMiB: null },
    boot: null,
    seed: { kind: 'cloud-init', userData: '#cloud-config\n{}\n', networkConfig: null },
    networks: [{ kind: 'network', source: 'default' }],
    labels: { tier: 'front' },
    ...change,
  };
}
