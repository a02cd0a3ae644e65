using System.Text.Json;

namespace Forengate.Memory;

/// <summary>
/// The fields of an x86 CPU's section <c>cpu</c>, version 12, as a stream's own description would give them, for the one thing that QEMU writes without a description: the devices' state
/// alone. QEMU takes streams of its older versions, so what version 12 (QEMU 2.4 and later) begins with can't change; what is newer stands in subsections behind it (QEMU,
/// target/i386/machine.c, vmstate_x86_cpu). A QEMU for 64-bit guests.
/// </summary>
internal static class CpuLayout
{
    public const uint Version = 12;

    private static readonly Lazy<DescriptionNode> s_node = new(() =>
    {
        var reader = new Utf8JsonReader(Description);
        reader.Read();
        return DescriptionNode.Read(ref reader);
    });

    public static DescriptionNode Node => s_node.Value;

    /// <summary>Bytes of the section before its subsections.</summary>
    public static int Bytes => (int)Node.StructBytes!.Value;

    // Sizes in bytes. What is not read here is named for what it is and counted in one piece.
    private static ReadOnlySpan<byte> Description => """
        {"name":"cpu","version":12,"fields":[
        {"name":"env.regs","array_len":16,"size":8},{"name":"env.eip","size":8},{"name":"env.eflags","size":8},{"name":"env.hflags","size":4},
        {"name":"env.fpuc","size":2},{"name":"env.fpus_vmstate","size":2},{"name":"env.fptag_vmstate","size":2},{"name":"env.fpregs_format_vmstate","size":2},
        {"name":"env.fpregs","array_len":8,"size":10,"struct":{"vmsd_name":"fpreg","fields":[
          {"name":"tmp","size":10,"struct":{"vmsd_name":"fpreg_tmp","fields":[{"name":"tmp_mant","size":8},{"name":"tmp_exp","size":2}]}}]}},
        {"name":"env.segs","array_len":6,"size":20,"struct":{"vmsd_name":"segment","fields":[
          {"name":"selector","size":4},{"name":"base","size":8},{"name":"limit","size":4},{"name":"flags","size":4}]}},
        {"name":"env.ldt","size":20,"struct":{"vmsd_name":"segment","fields":[
          {"name":"selector","size":4},{"name":"base","size":8},{"name":"limit","size":4},{"name":"flags","size":4}]}},
        {"name":"env.tr","size":20,"struct":{"vmsd_name":"segment","fields":[
          {"name":"selector","size":4},{"name":"base","size":8},{"name":"limit","size":4},{"name":"flags","size":4}]}},
        {"name":"env.gdt","size":20,"struct":{"vmsd_name":"segment","fields":[
          {"name":"selector","size":4},{"name":"base","size":8},{"name":"limit","size":4},{"name":"flags","size":4}]}},
        {"name":"env.idt","size":20,"struct":{"vmsd_name":"segment","fields":[
          {"name":"selector","size":4},{"name":"base","size":8},{"name":"limit","size":4},{"name":"flags","size":4}]}},
        {"name":"env.sysenter_cs","size":4},{"name":"env.sysenter_esp","size":8},{"name":"env.sysenter_eip","size":8},
        {"name":"env.cr[0]","size":8},{"name":"env.cr[2]","size":8},{"name":"env.cr[3]","size":8},{"name":"env.cr[4]","size":8},
        {"name":"env.dr","array_len":8,"size":8},{"name":"env.a20_mask","size":4},{"name":"env.mxcsr","size":4},
        {"name":"env.xmm_regs","array_len":16,"size":16,"struct":{"vmsd_name":"xmm_reg","fields":[{"name":"low","size":8},{"name":"high","size":8}]}},
        {"name":"env.efer","size":8},{"name":"env.star","size":8},{"name":"env.lstar","size":8},{"name":"env.cstar","size":8},{"name":"env.fmask","size":8},
        {"name":"env.kernelgsbase","size":8},{"name":"env.smbase","size":4},{"name":"env.pat","size":8},{"name":"env.hflags2","size":4},
        {"name":"virtualization","size":45},{"name":"memory types","size":224},{"name":"env.interrupt_injected","size":4},{"name":"env.mp_state","size":4},
        {"name":"env.tsc","size":8},{"name":"exceptions","size":12},{"name":"machine check","size":344},{"name":"env.tsc_aux","size":8},
        {"name":"paravirtual clock","size":16},{"name":"env.xcr0","size":8},{"name":"env.xstate_bv","size":8},
        {"name":"env.xmm_regs.high","array_len":16,"size":16,"struct":{"vmsd_name":"ymmh_reg","fields":[{"name":"low","size":8},{"name":"high","size":8}]}}]}
        """u8;
}
