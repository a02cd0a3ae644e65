namespace Forengate.Lab.Image;

/// <summary>
/// Where the parts of kernel address space lie. Windows 7 has fixed areas (Windows Internals, 6th ed., part 2, ch. 10, "x64 virtual address space layouts"); 8.1 moves them inside fixed top-level
/// slots; from 14393 each area takes a random top-level slot, the page-table self-map included.
/// </summary>
internal sealed class KernelLayout
{
    private const ulong LargePage = 0x200000;
    private readonly int _slotShift;

    /// <param name="levels">With five levels a top-level slot is 256 TiB: the areas take such ones, images and fixed addresses stay in the last, where they are with four levels.</param>
    public KernelLayout(int family, SeededRandom random, int levels)
    {
        _slotShift = 12 + 9 * (levels - 1);
        Randomized = family >= 14393;
        if (family < 9200)
        {
            SelfMap = 0x1ED;
            // The loader puts the kernel and HAL near 0xFFFFF800`02600000, page-aligned.
            KernelBase = 0xFFFFF800_02600000 + random.Next(0x200) * GuestRam.PageSize;
            // Behind the drivers, of which 200 take up to 288 MiB.
            SystemPtes = 0xFFFFF880_20000000 + random.Next(0x100) * 0x10000;
            DriverBase = 0xFFFFF880_00C00000 + random.Next(0x100) * 0x1000;
            // Behind the PFN database, which takes 0x30 bytes a page up to the highest there can be: 12 GiB with the hole.
            Pool = 0xFFFFFA80_0A000000;
            PfnDatabase = 0xFFFFFA80_00000000;
            Session = 0xFFFFF880_B0000000;
        }
        else if (!Randomized)
        {
            SelfMap = 0x1ED;
            KernelBase = 0xFFFFF800_00000000 + (random.Next(4) << 32) + random.Next(0x80000) * GuestRam.PageSize;
            SystemPtes = 0xFFFFD000_20000000 + random.Next(0x1000) * 0x10000;
            DriverBase = (KernelBase & 0xFFFFFFFF_00000000) + 0xA0000000 + random.Next(0x1000) * 0x1000;
            Pool = 0xFFFFE000_00000000 + random.Next(0x400) * LargePage;
            PfnDatabase = 0xFFFFFA80_00000000;
            Session = 0xFFFFD000_B0000000;
        }
        else
        {
            var slots = new ulong[0xEF];
            for (var i = 0; i < slots.Length; i++)
                slots[i] = 0x100 + (ulong)i;
            random.Shuffle<ulong>(slots);
            SelfMap = (int)slots[0];
            var step = family >= 17134 ? LargePage : GuestRam.PageSize;
            KernelBase = 0xFFFFF800_00000000 + (random.Next(8) << 32) + 0x10000000 + random.Next(0xC0000000 / step) * step;
            SystemPtes = SlotBase(slots[1]) + 0x20000000 + random.Next(0x1000) * 0x10000;
            DriverBase = (KernelBase & 0xFFFFFFFF_00000000) + (1UL << 32) + random.Next(0x2000) * 0x10000;
            Pool = SlotBase(slots[2]) + random.Next(0x400) * LargePage;
            PfnDatabase = SlotBase(slots[3]);
            Session = SlotBase(slots[1]) + 0xB0000000;
        }
    }

    /// <summary>KUSER_SHARED_DATA's kernel address, the same on every Windows.</summary>
    public const ulong SharedUserData = 0xFFFFF780_00000000;
    /// <summary>Where the HAL maps the local APIC's registers.</summary>
    public const ulong HalApic = 0xFFFFFFFF_FFFE0000;

    public bool Randomized { get; }
    /// <summary>Top-level slot that points back to the top-level table.</summary>
    public int SelfMap { get; }
    public ulong KernelBase { get; }
    public ulong SystemPtes { get; }
    public ulong DriverBase { get; }
    public ulong Pool { get; }
    public ulong PfnDatabase { get; }
    public ulong Session { get; }

    /// <summary>Where the page-table entry of address 0 shows through the self-map: <c>MmPteBase</c>.</summary>
    public ulong PteBase => SlotBase((ulong)SelfMap);

    /// <summary>Where the top-level table shows through the self-map: the self-map's slot at every level.</summary>
    public ulong TopTable
    {
        get
        {
            var at = PteBase;
            for (var shift = _slotShift - 9; shift >= 12; shift -= 9)
                at |= (ulong)SelfMap << shift;
            return at;
        }
    }

    private ulong SlotBase(ulong slot) => (ulong)((long)(slot << 55) >> 55 - _slotShift);
}
