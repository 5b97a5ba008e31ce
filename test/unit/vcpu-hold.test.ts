/** Goal: by the host's own measure alone it is known when the vCPUs left online are too few, or more run than a guest says. */
import t from 'tap';
import { outgrown } from '../../agent/core/vcpu-hold.ts';

t.test('saturated, beyond, or enough', (t) => {
  const use = { usageCores: 0, waitingCores: Number.NaN, capCores: null, vcpus: 8, online: 2 };
  t.equal(outgrown({ ...use, usageCores: 1.7 }), null);
  t.equal(outgrown({ ...use, usageCores: 1.85 }), 'saturated');
  t.equal(outgrown({ ...use, usageCores: 2.4 }), 'saturated', 'rates of one look are off by some');
  t.equal(outgrown({ ...use, usageCores: 3 }), 'beyond');
  t.equal(outgrown({ ...use, usageCores: Number.NaN }), null, 'unknown says nothing');
  t.equal(outgrown({ ...use, usageCores: 0.5, waitingCores: 1.4 }), 'saturated', 'a busy host gives them little');
  t.equal(outgrown({ ...use, usageCores: 0.5, waitingCores: 0.4 }), null);
  const capped = { ...use, capCores: 4 };
  t.equal(outgrown({ ...capped, usageCores: 0.92 }), 'saturated', "a cap of four cores is half a core for each of two's quotas");
  t.equal(outgrown({ ...capped, usageCores: 0.8 }), null);
  t.end();
});
