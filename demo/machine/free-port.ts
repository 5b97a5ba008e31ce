/** A port on loopback that nobody listens on: the asked one, or any. Throws ENVIRONMENT when the asked one is taken. */
import { createServer } from 'node:net';
import { HeadroomError } from '../../shared/errors.ts';

export function freePort(port: number): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', () =>
      reject(new HeadroomError('ENVIRONMENT', `port ${port} on 127.0.0.1 is in use; choose another with --port N`)),
    );
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}
