/** `headroom tls`: a certificate authority for trying things out, and server certificates by it. Needs no aggregator. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import type { CliIo, OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { ownArguments, usageOf } from '../own-arguments.ts';

const HELP = `headroom tls --dir DIR --name NAME [--name NAME …] [--days N]: certificates for an aggregator

  --dir DIR    ca.pem and ca-key.pem are made here unless they are there; server.pem and server-key.pem always
  --name NAME  a DNS name or IP address the aggregator is reached by; may be given several times
  --days N     how long the server's certificate holds (default 90; the authority's holds ten years)

Where there is an authority already, use its certificates instead. Give DIR/server.pem and DIR/server-key.pem to the
aggregator (tls.certFile, tls.keyFile), DIR/ca.pem to agents (--ca-file) and to this command line (--ca-file). Keep
DIR/ca-key.pem off every server: who has it can pose as the aggregator.
`;
const AUTHORITY_DAYS = 3650;
const SERVER_DAYS = '90';

const usage = usageOf('tls');
const OPTIONS = {
  dir: { type: 'string' },
  name: { type: 'string', multiple: true },
  days: { type: 'string', default: SERVER_DAYS },
} as const;

/** Certificates for everybody, keys for the owner alone. */
function write(file: string, text: string, mode: number): void {
  try {
    writeFileSync(file, text, { mode });
  } catch (error) {
    throw new HeadroomError('ENVIRONMENT', `${file} cannot be written: ${errorText(error)}`, { cause: error });
  }
}

export const tls: OwnCommand = {
  kind: 'own',
  name: 'tls',
  summary: 'certificates for an aggregator that is reached from other machines',
  async run(argv, io: CliIo) {
    const { dir, name: names = [], days, help } = ownArguments('tls', argv, OPTIONS);
    if (help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (dir === undefined) throw usage('--dir DIR is missing');
    if (names.length === 0) throw usage('--name NAME is missing');
    if (!/^[1-9]\d{0,3}$/.test(days)) throw usage(`--days ${days}: 1 to 9999 are possible`);
    const { makeAuthority, makeServerCertificate } = await import('../tls/development-ca.ts');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const at = (file: string): string => join(dir, file);
    const nowMs = io.clock.wallMs();
    if (!existsSync(at('ca.pem'))) {
      const made = await makeAuthority(nowMs, AUTHORITY_DAYS);
      write(at('ca-key.pem'), made.key, 0o600);
      write(at('ca.pem'), made.cert, 0o644);
      io.out(`${at('ca.pem')}: a new certificate authority; its key is ${at('ca-key.pem')}\n`);
    }
    const authority = { cert: readFileSync(at('ca.pem'), 'utf8'), key: readFileSync(at('ca-key.pem'), 'utf8') };
    const server = await makeServerCertificate(authority, names, nowMs, Number(days));
    write(at('server-key.pem'), server.key, 0o600);
    write(at('server.pem'), server.cert, 0o644);
    io.out(`${at('server.pem')}: for ${names.join(', ')}, ${days} days; its key is ${at('server-key.pem')}\n`);
    return EXIT.ok;
  },
};
