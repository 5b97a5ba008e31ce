/** A real VictoriaMetrics on loopback in a folder of its own. Output: its address, start, kill, stop. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { type Program, programOf } from './program.ts';

export interface VictoriaMetrics extends Program {
  url: string;
  /** Makes what was written visible to queries at once; by itself it takes some seconds. */
  flush(): Promise<void>;
}

export async function startVictoriaMetrics(flags: readonly string[] = ['-dedup.minScrapeInterval=1ms']): Promise<VictoriaMetrics> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-victoria-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const program = programOf({
    command: 'victoria-metrics',
    args: [
      '-storageDataPath',
      folder,
      '-retentionPeriod',
      '3y',
      '-httpListenAddr',
      `127.0.0.1:${port}`,
      '-memory.allowedBytes',
      '128MB',
      ...flags,
    ],
    debianPackage: 'victoria-metrics',
    answers: () => fetch(`${url}/health`),
  });
  await program.start();
  return {
    ...program,
    url,
    flush: async () => {
      await (await fetch(`${url}/internal/force_flush`)).text();
    },
    stop: async () => {
      await program.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
