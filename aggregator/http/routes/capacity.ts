/** GET /v1/capacity: what hosts can be sold beyond what their VMs will want; the same as OpenStack and Proxmox read it. */
import Type from 'typebox';
import { openStackForm, proxmoxForm } from '../../core/capacity/capacity-forms.ts';
import { Capacity, OpenStackInventory, ProxmoxNode } from '../schemas/capacity.ts';
import { answers, type Routes } from './route-options.ts';

export const capacityRoutes: Routes = (app, service) => {
  const tags = ['fleet'];
  app.get(
    '/v1/capacity',
    {
      schema: {
        summary: 'What each host can be sold beyond what its VMs will want together, the roomiest first',
        tags,
        response: answers(Type.Object({ items: Type.Array(Capacity) })),
      },
    },
    () => ({ items: service.capacity() }),
  );
  app.get(
    '/v1/capacity/openstack',
    {
      schema: {
        summary: "Allocation ratios per compute host, as OpenStack's Placement takes them; advice, nothing is set",
        tags,
        response: answers(Type.Object({ items: Type.Array(OpenStackInventory) })),
      },
    },
    () => ({ items: openStackForm(service.capacity()) }),
  );
  app.get(
    '/v1/capacity/proxmox',
    {
      schema: {
        summary: "Nodes as Proxmox' API lists them, with what their guests will want and what is left to sell",
        tags,
        response: answers(Type.Object({ data: Type.Array(ProxmoxNode) })),
      },
    },
    () => ({ data: proxmoxForm(service.capacity()) }),
  );
};
