/** Goal: the compose file hangs together: what is named is declared, what is waited for can be, and the aggregator takes its configuration. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { parseFlags, resolveConfig } from '../../aggregator/config.ts';

interface Service {
  image: string;
  depends_on?: Record<string, { condition: string }>;
  volumes?: string[];
  configs?: { source: string; target: string }[];
  secrets?: string[];
  healthcheck?: object;
  restart?: string;
  command?: string[];
}
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const compose = parse(readFileSync(`${ROOT}/compose.yaml`, 'utf8')) as {
  services: Record<string, Service>;
  configs: Record<string, { content: string }>;
  secrets: Record<string, { environment: string }>;
  volumes: Record<string, unknown>;
};

t.test('what services name is declared, what they mount is there', (t) => {
  t.ok(Object.keys(compose.services).length >= 4);
  for (const [name, { volumes = [], configs = [], secrets = [], depends_on: needs = {} }] of Object.entries(compose.services)) {
    for (const volume of volumes) {
      const [source = ''] = volume.split(':');
      if (source.startsWith('./')) t.ok(existsSync(`${ROOT}/${source}`), `${name}: ${source}`);
      else t.ok(Object.hasOwn(compose.volumes, source), `${name}: volume ${source}`);
    }
    for (const { source } of configs) t.ok(Object.hasOwn(compose.configs, source), `${name}: configuration ${source}`);
    for (const secret of secrets) t.ok(Object.hasOwn(compose.secrets, secret), `${name}: secret ${secret}`);
    for (const [other, { condition }] of Object.entries(needs)) {
      const service = compose.services[other];
      t.ok(service, `${name} waits for ${other}`);
      if (condition === 'service_healthy') t.ok(service?.healthcheck, `${other} tells whether it is healthy`);
      // One that is started again and again never completes.
      if (condition === 'service_completed_successfully') t.not(service?.restart, 'always', `${other} ends`);
    }
  }
  t.end();
});

t.test("the aggregator's configuration in it is one it takes, and finds its files", (t) => {
  const { aggregator, certificates } = compose.services as Record<string, Service>;
  const config = resolveConfig(compose.configs.aggregator!.content, parseFlags([]));
  t.equal(config.store.kind, 'influxdb');
  const [mounted = ''] = aggregator!.volumes!.map((volume) => volume.split(':')[1]!);
  t.equal(config.dataDir, mounted);
  t.ok(config.access.tls!.certFile.startsWith(`${mounted}/`));
  t.equal(certificates!.command![certificates!.command!.indexOf('--dir') + 1], `${mounted}/tls`, 'where the certificates are made');
  t.match(config.store, { auth: { secretFile: `/run/secrets/${aggregator!.secrets![0]}` } });
  t.equal(aggregator!.command![1], aggregator!.configs![0]!.target);
  t.end();
});
