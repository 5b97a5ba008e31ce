/** Goal: no text leaves its place in XML, and what XML cannot hold is left out. */
import t from 'tap';
import { xmlText } from '../../agent/hypervisor/libvirt/xml-text.ts';

t.test('markup is spelled out, control characters go, everything else stays', async (t) => {
  t.equal(xmlText(`<a b="c" d='e'>&`), '&lt;a b=&quot;c&quot; d=&apos;e&apos;&gt;&amp;');
  t.equal(xmlText('a\u0000\u0008\u001f\u007fb\tc\nd\re'), 'ab\tc\nd\re');
  t.equal(xmlText('größe 🐘'), 'größe 🐘');
});
