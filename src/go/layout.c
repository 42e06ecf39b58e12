#include "go/layout.h"

#include "gocore/go.h"

/*
 * runtime/symtab.go (moduledata), runtime/runtime2.go (g, m, _panic). Field
 * order within a row is that of the struct in layout.h.
 */
const struct go_layout go_layouts[] = {
	{
		.minor = 19, .wrapper = 21,
		.md = { 280, 288, 304, 312, 544 },
		.g = { 96, 104, 112, 120, NO_FIELD, 144, 152, 168, 176, 232, 240, 272, 280, 288,
		       NO_FIELD, 296, 312, 360, 32, 48, 56, 368 },
		.m = { 72, 80, 192, 208, 232, 244, 268, 280, 336, 800, 808, 816 },
		.panic = { 8, 24, 48, 50, NO_FIELD },
	}, {
		.minor = 20, .wrapper = 21,
		.md = { 296, 304, 320, 328, 560 },
		.g = { 96, 104, 112, 120, NO_FIELD, 144, 152, 168, 176, 232, 240, 272, 280, 288,
		       NO_FIELD, 296, 312, 360, 32, 48, 56, 368 },
		.m = { 72, 80, 192, 208, 232, 244, 268, 280, 336, 800, 808, 816 },
		.panic = { 8, 24, 48, 50, NO_FIELD },
	}, {
		.minor = 21, .wrapper = 21,
		.md = { 296, 304, 320, 328, 584 },
		.g = { 96, 104, 112, 120, NO_FIELD, 144, 152, 168, 176, 208, 216, 248, 256, 264,
		       272, 280, 296, 344, 32, 48, 56, 352 },
		.m = { 72, 80, 192, 208, 232, 244, 268, 280, 336, 808, 816, 824 },
		.panic = { 8, 24, 48, 50, NO_FIELD },
	}, {
		.minor = 22, .wrapper = 22,
		.md = { 296, 304, 320, 328, 584 },
		.g = { 96, 104, 112, 120, NO_FIELD, 144, 152, 168, 176, 208, 216, 248, 256, 264,
		       272, 280, 296, 344, 32, 48, 56, 352 },
		.m = { 72, 80, 192, 208, 232, 244, 268, 280, 328, 1120, 1128, 1136 },
		.panic = { 8, 24, 96, 97, NO_FIELD },
	}, {
		.minor = 23, .wrapper = 22,
		.md = { 296, 304, 320, 328, 576 },
		.g = { 96, 104, 112, 120, 128, 152, 160, 176, 184, 216, 224, 256, 264, 272,
		       280, 288, 304, 352, 32, 48, 56, 360 },
		.m = { 72, 80, 192, 208, 232, 244, 268, 280, 328, 856, 864, 872 },
		.panic = { 8, 24, 96, 97, NO_FIELD },
	}, {
		.minor = 24, .wrapper = 22,
		.md = { 296, 304, 320, 328, 576 },
		.g = { 96, 104, 112, 120, 128, 152, 160, 176, 184, 216, 228, 256, 264, 272,
		       280, 288, 304, 352, 32, 48, 56, 360 },
		.m = { 72, 80, 192, 208, 232, 244, 268, 280, 328, 880, 888, 896 },
		.panic = { 8, 24, 96, 97, NO_FIELD },
	}, {
		.minor = 25, .wrapper = 23,
		.md = { 296, 304, 320, 328, 576 },
		.g = { 88, 96, 104, 112, 120, 144, 152, 168, 176, 208, 220, 248, 256, 264,
		       272, 280, 296, 344, 32, 48, 56, 352 },
		.m = { 64, 72, 184, 200, 224, 236, 260, 272, 344, NO_FIELD, NO_FIELD, 352 },
		.panic = { 8, 24, 96, 98, 97 },
	}, {
		.minor = 26, .wrapper = 23,
		.md = { 296, 304, 320, 336, 584 },
		.g = { 88, 96, 104, 112, 120, 144, 152, 168, 176, 208, 224, 256, 264, 272,
		       280, 288, 304, 352, 32, 48, 56, 360 },
		.m = { 64, 72, 184, 208, 232, 244, 268, 280, 352, 896, 904, 912 },
		.panic = { 0, 16, 88, 90, 89 },
	}, {
		.minor = 27, .wrapper = 23,
		.md = { 296, 312, 344, 360, 560 },
		.g = { 88, 96, 104, 112, 120, 144, 152, 168, 176, 208, 224, 256, 264, 272,
		       280, 288, 304, 352, 32, 48, 56, 360 },
		.m = { 64, 72, 184, 208, 232, 244, 268, 280, 352, 896, 904, 912 },
		.panic = { 0, 16, 88, 90, 89 },
	},
};

const size_t go_nlayouts = GC_COUNT(go_layouts);

const struct go_layout *go_layout_for(int minor)
{
	size_t i = go_nlayouts - 1;

	while (i > 0 && minor < go_layouts[i].minor)
		i--;
	return &go_layouts[i];
}

void gc_go_offsets(struct gc_go_offsets *out, int minor)
{
	const struct go_layout *layout = minor ? go_layout_for(minor) : &go_layouts[go_nlayouts - 1];

	*out = (struct gc_go_offsets){
		.g_stack_lo = G_STACK_LO, .g_stack_hi = G_STACK_HI, .g_m = layout->g.m,
		.g_sched_sp = (uint16_t)(layout->g.sched + GOBUF_SP),
		.g_sched_pc = (uint16_t)(layout->g.sched + GOBUF_PC),
		.g_sched_lr = layout->g.sched_lr, .g_sched_fp = layout->g.sched_fp, .m_g0 = M_G0,
		.m_curg = layout->m.curg,
		.m_vdso_sp = layout->m.vdsosp, .m_vdso_pc = layout->m.vdsopc,
	};
}
