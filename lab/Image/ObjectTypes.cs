using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// Kernel object types and the headers before objects. From 10.0 on the type index in a header is XORed with a cookie and with byte 1 of the header's address
/// (Windows Internals, 7th ed., part 2, ch. 8, "Object headers").
/// </summary>
internal sealed class ObjectTypes
{
    public const int Process = 7;
    public const int Thread = 8;
    public const int Token = 5;
    private const ulong TableFirst = 0xBAD0B0B0;
    private const int QuotaInfo = 0x08;
    private static readonly string[] _names =
        ["Type", "Directory", "SymbolicLink", "Token", "Job", "Process", "Thread", "UserApcReserve", "IoCompletionReserve", "DebugObject", "Event", "Mutant", "Callback", "Semaphore", "Timer", "Profile"];

    private readonly KernelTables _tables;
    private readonly AddressSpace _space;
    private readonly KernelPool _pool;
    private readonly byte _cookie;

    public ObjectTypes(KernelTables tables, AddressSpace space, KernelImage kernel, KernelPool pool, SeededRandom random)
    {
        (_tables, _space, _pool) = (tables, space, pool);
        _cookie = (byte)random.Next(1, 256);
        kernel.SetU8("ObHeaderCookie", _cookie, optional: true);
        Cookie = kernel.Has("ObHeaderCookie") ? _cookie : null;
        var table = kernel.AddressOf("ObTypeIndexTable");
        space.WriteU64(table + 8, TableFirst);
        for (var i = 0; i < _names.Length; i++)
        {
            var index = i + 2;
            var type = new StructWriter(tables, "_OBJECT_TYPE", Allocate("ObjT", "_OBJECT_TYPE", 2));
            type.EmptyList("TypeList").EmptyList("CallbackList").SetString("Name", _names[i], pool.AllocateText("ObNm", _names[i])).Set("Index", (ulong)index);
            type.Store(space);
            space.WriteU64(table + (ulong)index * 8, type.Address);
            if (index is Process or Thread)
                kernel.SetU64(index == Process ? "PsProcessType" : "PsThreadType", type.Address);
            else if (index == 2)
                kernel.SetU64("ObpTypeObjectType", type.Address);
        }
    }

    /// <summary>ObHeaderCookie, null in builds without one.</summary>
    public byte? Cookie { get; }

    /// <summary>Room for an object with pool, quota and object header before it; returns the body's address.</summary>
    public ulong Allocate(string tag, string type, int index)
    {
        var quota = _tables.SizeOf("_OBJECT_HEADER_QUOTA_INFO");
        var body = _tables.OffsetOf("_OBJECT_HEADER", "Body");
        var start = _pool.Allocate(tag, quota + body + _tables.SizeOf(type));
        var header = new StructWriter(_tables, "_OBJECT_HEADER", start + (ulong)quota, body);
        var typeIndex = Cookie is { } cookie ? (byte)(index ^ cookie ^ (byte)(header.Address >> 8)) : (byte)index;
        header.Set("PointerCount", 0x20).Set("HandleCount", 1).Set("TypeIndex", typeIndex).Set("InfoMask", QuotaInfo);
        header.Store(_space);
        return start + (ulong)(quota + body);
    }
}
