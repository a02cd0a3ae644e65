using Forengate.Symbols;

namespace Forengate.Symbols.Tests;

public sealed class CodeViewRecordTests
{
    private static byte[] Record(string name) =>
        [.. "RSDS"u8, .. new Guid("bbed7c29-1234-4567-89ab-0123456789ab").ToByteArray(), 1, 0, 0, 0, .. System.Text.Encoding.ASCII.GetBytes(name), 0];

    [Fact]
    public void A_record_gives_name_guid_and_age()
    {
        var record = CodeViewRecord.Parse(Record(@"d:\os\obj\ntkrnlmp.pdb"))!;
        Assert.Equal("ntkrnlmp.pdb", record.Name);
        Assert.Equal("BBED7C291234456789AB0123456789AB1", record.Key);
    }

    [Fact]
    public void Bytes_that_are_no_record_give_none()
    {
        Assert.Null(CodeViewRecord.Parse([]));
        Assert.Null(CodeViewRecord.Parse(Record("")));
        Assert.Null(CodeViewRecord.Parse(Record("nt\u0001krnl.pdb")));
        Assert.Null(CodeViewRecord.Parse(Record("ntkrnlmp.pdb").AsSpan(1)));
        Assert.Null(CodeViewRecord.Parse(Record(@"d:\")));
    }
}
