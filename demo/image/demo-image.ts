/** The demo's guest image from this checkout: bundles agent and workload, then makes or finds the image in the cache. */
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { packageAgent } from '../../scripts/packaging/agent-bundle.ts';
import { METRICS_FILE } from '../workload/metrics-file.ts';
import { bundleWorkload } from './bundle-workload.ts';
import { type GuestImage, guestImage } from './guest-image.ts';

/** `agentOptions`: further options of the guest agent. */
export async function demoImage(
  cacheDirectory: string,
  say: (line: string) => void,
  agentOptions: readonly string[] = [],
): Promise<GuestImage> {
  const work = mkdtempSync(join(cacheDirectory, 'work-'));
  try {
    const agent = await packageAgent(work);
    return await guestImage({
      cacheDirectory,
      node: realpathSync(process.execPath),
      agentBundle: readFileSync(agent.path),
      workloadBundle: await bundleWorkload(),
      agentArguments: ['guest', '--workload-metrics', METRICS_FILE, ...agentOptions],
      say,
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
