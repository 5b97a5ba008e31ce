/**
 * `headroom vm credentials NAME`: a login for the VM's user. Makes a key pair here, has the guest seal a secret to it, waits,
 * opens it and prints it. The private key is never written anywhere; the plain secret goes to standard output and nowhere else.
 */
import { generateKeyPairSync } from 'node:crypto';
import { compactDecrypt } from 'jose';
import { HeadroomError } from '../../../shared/errors.ts';
import { phaseWords } from '../../core/credential/words.ts';
import type { CredentialAnswer } from '../answers.ts';
import type { ApiCommand, CommandContext } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { pause } from '../pause.ts';
import { show } from './show.ts';

/** Guests tell how far they are once a second. */
const LOOK_MS = 1000;
const WAIT_SECONDS = 120;

async function untilEnded(context: CommandContext, id: string, asked: CredentialAnswer, waitMs: number): Promise<CredentialAnswer> {
  const { io, api } = context;
  const untilMs = io.clock.monotonicMs() + waitMs;
  let login = asked;
  let told = '';
  while (login.state === 'pending' || login.state === 'delayed') {
    const message = login.delay === null ? 'waiting for the guest' : `the login is ${login.delay.message}`;
    // The seconds in it change with every look; the reason does not.
    const reason = message.replaceAll(/\d/g, '');
    if (reason !== told) io.err(`headroom: ${printable(message)}\n`);
    told = reason;
    if (io.clock.monotonicMs() >= untilMs)
      throw new HeadroomError(
        'TIMEOUT',
        `the login is not ready after ${waitMs / 1000} s: ${message}; it may still come: GET ${api.url}/v1/vms/${encodeURIComponent(id)}/credentials/${asked.id}`,
      );
    await pause(io, LOOK_MS);
    if (io.stop.aborted) throw new HeadroomError('CANCELLED', 'interrupted; a login that is made meanwhile opens with no key that exists');
    login = await api.get('/v1/vms/{id}/credentials/{credentialId}', { path: { id, credentialId: asked.id } });
  }
  return login;
}

export const vmCredentials: ApiCommand = {
  kind: 'api',
  name: 'vm credentials',
  summary: "a login for the VM's user, made in the guest, sealed to a key made here",
  args: ['NAME'],
  watches: 'never',
  options: { wait: { type: 'string', value: 'SECONDS', help: `how long to wait for it (default ${WAIT_SECONDS})` } },
  details: [
    'The guest agent must allow it (--credential-account). The secret, an SSH private key or a password, is printed to standard output:',
    '"headroom vm credentials web-1 > key && chmod 600 key && ssh -i key ACCOUNT@…". Ready or not, where the time went is told on standard error.',
  ].join('\n'),
  async run(context) {
    const { api, io, positionals, values } = context;
    const waitSeconds = Number(values.wait ?? WAIT_SECONDS);
    if (!(waitSeconds >= 1 && waitSeconds <= 3600))
      throw new HeadroomError('USAGE', `--wait ${values.wait}: seconds from 1 to 3600 are needed`);
    const { publicKey, privateKey } = generateKeyPairSync('x25519');
    const id = positionals[0]!;
    const body = { publicKey: { ...publicKey.export({ format: 'jwk' }) } };
    const asked = await api.send('post', '/v1/vms/{id}/credentials', { path: { id }, body });
    const login = await untilEnded(context, id, asked, waitSeconds * 1000);
    if (login.state === 'failed' || login.sealed === null) throw new HeadroomError('UNAVAILABLE', `no login was made: ${login.reason}`);
    const { plaintext } = await compactDecrypt(login.sealed, privateKey).catch((error: unknown) => {
      throw new HeadroomError(
        'INVARIANT_BROKEN',
        'the secret does not open with the key made here: it was sealed to another, do not use it',
        { cause: error },
      );
    });
    const secret = new TextDecoder().decode(plaintext);
    const until = login.expiresAtMs === null ? '' : `, lets in until ${new Date(login.expiresAtMs).toISOString()}`;
    const late = login.delay === null ? '' : `; it was ${login.delay.message}`;
    io.err(`headroom: ${printable(`${login.method} of account ${login.account}${until}; ${phaseWords(login)}${late}`)}\n`);
    const { sealed: _sealed, ...rest } = login;
    show(context, { ...rest, secret }, () => (secret.endsWith('\n') ? secret : `${secret}\n`));
    return EXIT.ok;
  },
};
