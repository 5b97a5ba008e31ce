/**
 * Goal: a guest is asked whether it serves at its own addresses only, each within its time, and why it does not serve is told; no
 * answer leads anywhere else.
 */
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { mayBeAsked, type OwnAddress } from '../../agent/actuators/guest-address.ts';
import { askAddress, askGuest } from '../../agent/actuators/ready-probe.ts';
import { macsOf, neighboursOf } from '../../agent/hypervisor/libvirt/neighbours.ts';
import type { NetworkProbe } from '../../shared/ready-probe.ts';

const OWN: OwnAddress[] = [
  { address: '127.0.0.1', cidr: '127.0.0.1/8', internal: true },
  { address: '10.1.0.5', cidr: '10.1.0.5/16', internal: false },
  { address: '192.168.122.1', cidr: '192.168.122.1/24', internal: false },
  { address: 'fd00::1', cidr: 'fd00::1/64', internal: false },
];

t.test('only addresses in a network of this host, and never its own or anybody’s', async (t) => {
  t.same(mayBeAsked(['192.168.122.20', 'fd00::20', '192.168.122.20'], OWN), ['192.168.122.20', 'fd00::20']);
  const others = ['127.0.0.1', '127.9.9.9', '::1', '192.168.122.1', '10.1.0.5', 'fd00::1', '169.254.169.254', '8.8.8.8', '10.2.0.1'];
  t.same(mayBeAsked([...others, 'fe80::20', '224.0.0.1', '0.0.0.0', '::ffff:127.0.0.1', 'localhost', '', '192.168.122.20/24'], OWN), []);
  t.equal(
    mayBeAsked(
      Array.from({ length: 9 }, (_, i) => `10.1.1.${i + 1}`),
      OWN,
    ).length,
    4,
    'a long list is not worked through',
  );
});

t.test('without an address, or with none that may be asked, it says so and asks nobody', async (t) => {
  let asked = 0;
  const server = createServer(() => asked++).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const probe: NetworkProbe = { kind: 'tcp', port: (server.address() as AddressInfo).port, timeoutMs: 500 };
  t.match(await askGuest([], probe), /no address of it yet/);
  t.match(await askGuest(['127.0.0.1'], probe), /none of its addresses \(127.0.0.1\) lies in a network of this host/);
  t.equal(asked, 0);
});

t.test('a port that is open, closed, silent; an answer as expected, another one, one that leads on', async (t) => {
  const paths: string[] = [];
  const web = createHttpServer((request, response) => {
    paths.push(request.url ?? '');
    if (request.url === '/silent') return;
    const status = request.url === '/moved' ? 302 : request.url === '/healthz' ? 200 : 503;
    response.writeHead(status, { location: '/healthz' }).end('x'.repeat(100_000));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => web.once('listening', resolve));
  t.teardown(() => web.closeAllConnections());
  t.teardown(() => web.close());
  const { port } = web.address() as AddressInfo;
  const http = (path: string, status = 200): NetworkProbe => ({ kind: 'http', port, path, status, timeoutMs: 500 });
  t.equal(await askAddress('127.0.0.1', { kind: 'tcp', port, timeoutMs: 500 }), null);
  t.equal(await askAddress('127.0.0.1', http('/healthz')), null);
  t.equal(await askAddress('127.0.0.1', http('/moved', 302)), null);
  t.equal(await askAddress('127.0.0.1', http('/busy')), `127.0.0.1:${port}/busy answers 503, not 200`);
  t.equal(await askAddress('127.0.0.1', http('/moved')), `127.0.0.1:${port}/moved answers 302, not 200`);
  t.equal(await askAddress('127.0.0.1', http('/silent')), `127.0.0.1:${port} did not answer within 500 ms`);
  t.same(paths, ['/healthz', '/moved', '/busy', '/moved', '/silent'], 'nobody was sent on');
  const closed = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => closed.once('listening', resolve));
  const gone = (closed.address() as AddressInfo).port;
  await new Promise((resolve) => closed.close(resolve));
  t.match(await askAddress('127.0.0.1', { kind: 'tcp', port: gone, timeoutMs: 500 }), /is not reached: .*ECONNREFUSED/);
});

t.test('addresses by the neighbour table: complete entries of its interfaces', async (t) => {
  const xml = `<domain><devices><interface type="bridge"><mac address="52:54:00:AA:00:01"/></interface><interface type="user"/></devices></domain>`;
  const table = `IP address       HW type     Flags       HW address            Mask     Device
10.0.0.7         0x1         0x2         52:54:00:aa:00:01     *        br0
10.0.0.8         0x1         0x0         52:54:00:aa:00:01     *        br0
10.0.0.9         0x1         0x2         52:54:00:aa:00:02     *        br0
`;
  t.same(neighboursOf(macsOf(xml), table), ['10.0.0.7']);
  t.same(neighboursOf(macsOf(xml), ''), []);
});
