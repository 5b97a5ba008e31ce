/**
 * The command `look [--connect URI] [--sample SECONDS] [--json]`: builds the read-only adapters of this machine and looks.
 * Needs no aggregator and no configuration; writes nothing. Output goes line by line to `out`.
 */
import { hostname } from 'node:os';
import { findBalloonManager } from '../../agent/collectors/balloon-manager.ts';
import { createHostCpu } from '../../agent/collectors/cpu.ts';
import { openKernelFiles } from '../../agent/collectors/files.ts';
import { createHostMemory } from '../../agent/collectors/memory.ts';
import { pageSizeBytes } from '../../agent/collectors/page-size.ts';
import { createPressure } from '../../agent/collectors/pressure.ts';
import { createVmCounterSource } from '../../agent/collectors/vm-counters.ts';
import type { LookReport } from '../../agent/core/look-report.ts';
import { createLibvirtHypervisor } from '../../agent/hypervisor/libvirt/adapter.ts';
import { look, SAMPLE_SECONDS_DEFAULT } from '../../agent/look.ts';
import { systemClock } from '../../shared/clock.ts';
import { createPrng } from '../../shared/prng.ts';

export interface LookArguments {
  connect?: string;
  sampleSeconds?: number;
  json?: boolean;
  out: (line: string) => void;
  /** `/` on a machine. */
  root?: string;
}

/** Host readings are as far apart as the sample is long. */
const GAP_MS_MAX = 120_000;

/** Throws USAGE for a URI that is not served, HYPERVISOR_UNAVAILABLE when no daemon answers. */
export async function runLook({ connect, sampleSeconds, json, out, root }: LookArguments): Promise<LookReport> {
  const files = openKernelFiles(root ?? '/');
  const pageBytes = pageSizeBytes(files);
  const counters = createVmCounterSource(files, pageBytes);
  try {
    return await look({
      hypervisor: createLibvirtHypervisor({
        uri: connect ?? 'qemu:///system',
        readOnly: true,
        clock: systemClock,
        // Only spreads reconnects out; a look that loses its connection ends.
        prng: createPrng(1),
        root: root ?? '/',
      }),
      hostName: hostname(),
      collectors: [
        createHostCpu(files, GAP_MS_MAX),
        createHostMemory(files, pageBytes, GAP_MS_MAX),
        createPressure(files, 'host', GAP_MS_MAX),
      ],
      counters: (processId) => counters.read(processId),
      balloonManager: () => findBalloonManager(files),
      clock: systemClock,
      sampleSeconds: sampleSeconds ?? SAMPLE_SECONDS_DEFAULT,
      json: json ?? false,
      out,
    });
  } finally {
    files.release();
  }
}
