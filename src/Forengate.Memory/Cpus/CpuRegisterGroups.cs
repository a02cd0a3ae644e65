namespace Forengate.Memory;

/// <summary>Registers in the groups that sources know or don't know together.</summary>
public static class CpuRegisterGroups
{
    /// <summary>Names of the groups of which the CPU lacks at least one register, in a fixed order; empty where everything is known.</summary>
    public static IReadOnlyList<string> Unknown(CpuState cpu)
    {
        (string Name, bool Known)[] groups =
        [
            ("general", cpu is { Rax: not null, Rbx: not null, Rcx: not null, Rdx: not null, Rsi: not null, Rdi: not null, Rsp: not null, Rbp: not null, Rip: not null, Rflags: not null }
                and { R8: not null, R9: not null, R10: not null, R11: not null, R12: not null, R13: not null, R14: not null, R15: not null }),
            ("segments", IsWhole(cpu.Cs) && IsWhole(cpu.Ds) && IsWhole(cpu.Es) && IsWhole(cpu.Fs) && IsWhole(cpu.Gs) && IsWhole(cpu.Ss) && IsWhole(cpu.Ldtr) && IsWhole(cpu.Tr)),
            ("descriptor tables", cpu is { Gdtr: not null, Idtr: not null }),
            ("control", cpu is { Cr0: not null, Cr2: not null, Cr3: not null, Cr4: not null }),
            ("cr8", cpu.Cr8 is not null),
            ("xcr0", cpu.Xcr0 is not null),
            ("debug", cpu is { Dr0: not null, Dr1: not null, Dr2: not null, Dr3: not null, Dr6: not null, Dr7: not null }),
            ("efer", cpu.Efer is not null),
            ("kernel gs base", cpu.KernelGsBase is not null),
            ("syscall", cpu is { Star: not null, LStar: not null, CStar: not null, SfMask: not null }),
            ("sysenter", cpu is { SysenterCs: not null, SysenterEsp: not null, SysenterEip: not null }),
            ("fpu", cpu is { Fcw: not null, Fsw: not null, Ftw: not null, St: not null }),
            ("xmm", cpu is { MxCsr: not null, Xmm: not null }),
            ("ymm", cpu.YmmHigh is not null),
        ];
        return [.. groups.Where(group => !group.Known).Select(group => group.Name)];

        static bool IsWhole(SegmentRegister? register) => register is { Base: not null, Limit: not null, Attributes: not null };
    }
}
