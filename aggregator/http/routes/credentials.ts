/** /v1/vms/{id}/credentials: asks a VM's guest agent for a login (POST), and how far it is (GET). */
import { createPublicKey, type JsonWebKey } from 'node:crypto';
import Type, { type Static } from 'typebox';
import * as Value from 'typebox/value';
import { HeadroomError } from '../../../shared/errors.ts';
import { type PublicKey, PublicKeySchema } from '../../../shared/protocol/frames.ts';
import { Credential } from '../schemas/credentials.ts';
import { answers, DryRunQuery, findVm, isDryRun, type Routes } from './route-options.ts';

const VmParams = Type.Object({ id: Type.String({ maxLength: 256, description: 'UUID, or the name where it is unique' }) });
const LoginParams = Type.Object({ id: Type.String({ maxLength: 256 }), credentialId: Type.String({ maxLength: 128 }) });
const Body = Type.Object(
  {
    publicKey: Type.Union(
      [
        Type.String({ maxLength: 4096, description: 'PEM (SubjectPublicKeyInfo)' }),
        Type.Object({}, { additionalProperties: true, description: 'JSON Web Key' }),
      ],
      {
        description: 'X25519, or RSA of 2048 to 8192 bits. The private key stays with the user.',
      },
    ),
  },
  { additionalProperties: false },
);

/** Throws USAGE on anything but a public key of these kinds; nothing private of it goes on. */
function publicKeyOf(given: string | object): PublicKey {
  const problem = (what: string): HeadroomError =>
    new HeadroomError('USAGE', `publicKey ${what}; give an X25519 key or an RSA key of 2048 to 8192 bits, as PEM or as a JSON Web Key`);
  let jwk: JsonWebKey;
  try {
    if (typeof given === 'string' && given.includes('PRIVATE KEY')) throw problem('holds a private key, which is yours alone');
    if ('d' in Object(given)) throw problem('holds a private key, which is yours alone');
    const key = typeof given === 'string' ? createPublicKey(given) : createPublicKey({ key: given as JsonWebKey, format: 'jwk' });
    jwk = key.export({ format: 'jwk' });
  } catch (error) {
    throw error instanceof HeadroomError ? error : problem('is no public key');
  }
  const { kty, crv, x, n, e } = jwk;
  const plain = kty === 'OKP' ? { kty, crv, x } : { kty, n, e };
  if (!Value.Check(PublicKeySchema, plain)) throw problem(`is of kind ${String(crv ?? kty)} or of a size that is not taken`);
  return plain as PublicKey;
}

const { 200: asked, ...problems } = answers(Credential, 'Asked of the guest');

export const credentialRoutes: Routes = (app, service) => {
  app.post<{ Params: Static<typeof VmParams>; Querystring: Static<typeof DryRunQuery>; Body: Static<typeof Body> }>(
    '/v1/vms/:id/credentials',
    {
      config: { role: 'operator' },
      schema: {
        summary: "Have a login made in the VM, sealed to the user's key",
        tags: ['fleet'],
        params: VmParams,
        querystring: DryRunQuery,
        body: Body,
        response: { ...problems, 202: asked },
      },
    },
    (request, reply) => {
      const { id: vm } = findVm(service, request.params.id);
      const login = service.askForLogin(vm, publicKeyOf(request.body.publicKey), `http ${request.ip}`, isDryRun(request));
      return reply.code(202).send(login);
    },
  );
  app.get<{ Params: Static<typeof LoginParams> }>(
    '/v1/vms/:id/credentials/:credentialId',
    { schema: { summary: 'A login that was asked for', tags: ['fleet'], params: LoginParams, response: answers(Credential) } },
    (request) => {
      const { id, credentialId } = request.params;
      const login = service.login(findVm(service, id).id, credentialId);
      if (login === null)
        throw new HeadroomError('NOT_FOUND', `no login "${credentialId}" is known; they are kept for ten minutes, not over a restart`);
      return login;
    },
  );
};
