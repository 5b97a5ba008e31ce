/** A real InfluxDB on loopback in a folder of its own. Input: whether it asks for passwords, where its folder is made. Output: its address, start, kill, stop. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { type Program, programOf } from './program.ts';

export interface InfluxDb extends Program {
  url: string;
}

export async function startInfluxDb(options: { auth?: boolean; within?: string } = {}): Promise<InfluxDb> {
  const folder = mkdtempSync(join(options.within ?? tmpdir(), 'headroom-influxdb-'));
  const [http, rpc] = [await freePort(), await freePort()];
  const config = join(folder, 'influxdb.conf');
  writeFileSync(
    config,
    [
      'reporting-disabled = true',
      `bind-address = "127.0.0.1:${rpc}"`,
      `[meta]\ndir = "${folder}/meta"\nlogging-enabled = false`,
      `[data]\ndir = "${folder}/data"\nwal-dir = "${folder}/wal"\nindex-version = "tsi1"\nquery-log-enabled = false`,
      `[http]\nbind-address = "127.0.0.1:${http}"\nlog-enabled = false\nauth-enabled = ${options.auth === true}`,
      '[monitor]\nstore-enabled = false',
    ].join('\n'),
  );
  const url = `http://127.0.0.1:${http}`;
  const program = programOf({
    command: 'influxd',
    args: ['-config', config],
    debianPackage: 'influxdb',
    answers: () => fetch(`${url}/ping`),
  });
  await program.start();
  return {
    ...program,
    url,
    stop: async () => {
      await program.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Answers of /query, for what a test wants to see without the adapter. */
export async function influxQuery(url: string, database: string, q: string, headers: Record<string, string> = {}): Promise<unknown> {
  const response = await fetch(`${url}/query`, { method: 'POST', headers, body: new URLSearchParams({ db: database, epoch: 'ms', q }) });
  return response.json();
}
